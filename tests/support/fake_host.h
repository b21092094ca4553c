// SPDX-License-Identifier: MIT
//
// A daemon for tests of the JSON-RPC server: networks of memory, gateways that are functions, and
// clients at the other end of socket pairs.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "switch/control/rpc_server.h"
#include "switch/frame/frame_pool.h"
#include "tests/support/fake_log.h"
#include "tests/support/lane_fixture.h"

namespace lanyard::testing {

class FakeNetwork final : public RpcNetwork {
 public:
  FakeNetwork(NetworkConfig config, EventLoop& loop, FramePool& pool, Log& log,
              std::size_t mac_entries = 4096)
      : config_(std::move(config)),
        bridge_(settings(mac_entries), pool, events_),
        lane_(bridge_, pool, loop, log) {}

  const NetworkConfig& config() const override { return config_; }
  Switch& bridge() override { return bridge_; }
  Lane& lane() override { return lane_; }
  GatewayState gateway() const override {
    GatewayState state;
    state.wanted = state.serving = static_cast<bool>(answer);
    return state;
  }
  void ask_gateway(std::string_view method, const Json& params, GatewayReply reply) override {
    answer(method, params, std::move(reply));
  }
  std::string guest_name(MacAddress mac) const override {
    const auto found = names.find(mac.text());
    return found == names.end() ? "" : found->second;
  }
  std::size_t lease_count() const override { return 0; }
  std::vector<std::string> warnings() const override { return {}; }
  void forward_added(const ForwardConfig& forward) override { config_.forwards.push_back(forward); }
  void forward_deleted(std::string_view name) override {
    std::erase_if(config_.forwards, [&](const auto& f) { return f.name == name; });
  }
  Result<void> create_vlan(VlanId vlan) override { return bridge_.vlans().create(vlan); }
  Result<void> delete_vlan(VlanId vlan) override { return bridge_.vlans().remove(vlan); }
  void vlan_chosen(PortId) override {}
  std::vector<RpcPlugin> plugins() const override { return {}; }
  Result<void> add_plugin(const std::string&) override { return {}; }
  Result<void> delete_plugin(std::string_view) override { return {}; }
  Result<std::string> tell_plugin(std::string_view line) override {
    return fmt::format("{}\ntold\n", line);
  }

  std::function<void(std::string_view, const Json&, GatewayReply)> answer;
  std::map<std::string, std::string> names;

 private:
  static Switch::Settings settings(std::size_t mac_entries) {
    Switch::Settings settings;
    settings.mac_entries_max = mac_entries;
    return settings;
  }

  NetworkConfig config_;
  RecordingEvents events_;
  Switch bridge_;
  Lane lane_;
};

class FakeHost final : public RpcHost {
 public:
  FakeHost() : log_(lines), loop_(EventLoop::create().take()) {}

  FakeNetwork& add(const std::string& name, std::size_t mac_entries = 4096) {
    NetworkConfig config;
    config.name = name;
    config.kind = NetworkKind::nat;
    auto made = std::make_unique<FakeNetwork>(config, *loop_, pool_, lines, mac_entries);
    FakeNetwork& network = *made;
    networks_[name] = std::move(made);
    return network;
  }
  void remove(const std::string& name) { networks_.erase(name); }

  std::vector<RpcNetwork*> networks() override {
    std::vector<RpcNetwork*> list;
    for (const auto& [name, network] : networks_) list.push_back(network.get());
    return list;
  }
  RpcNetwork* find(std::string_view name) override {
    const auto found = networks_.find(std::string(name));
    return found == networks_.end() ? nullptr : found->second.get();
  }
  Configuration running() const override { return {}; }
  const std::string& config_file() const override { return file_; }
  void reload(const std::string&, ReloadDone done) override { reloads.push_back(std::move(done)); }
  pid_t lasting_process() const override { return ::getpid(); }
  void stop() override { stopped = true; }
  LogRing& log() override { return log_; }
  EventLoop& loop() override { return *loop_; }
  Time started() const override { return Time{0}; }

  FakeLog lines;
  std::vector<ReloadDone> reloads;
  bool stopped = false;

 private:
  std::string file_;
  LogRing log_;
  FramePool pool_;
  std::unique_ptr<EventLoop> loop_;
  std::map<std::string, std::unique_ptr<FakeNetwork>> networks_;
};

// The other end of a session.
class FakeClient {
 public:
  FakeClient(RpcServer& server, uid_t user, std::vector<gid_t> groups = {})
      : loop_(server.host().loop()), pair_(SOCK_STREAM) {
    Identity who;
    who.uid = user;
    who.gid = 30000;
    who.groups = std::move(groups);
    server.adopt(std::move(pair_.ours), who);
  }

  void send(std::string_view text) {
    ASSERT_EQ(::send(pair_.theirs.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT),
              static_cast<ssize_t>(text.size()));
  }
  // The next line; empty at the end, or when none comes in a thousand rounds.
  std::string line() {
    for (int round = 0; round < 1000; ++round) {
      if (const std::optional<LineReader::Line> line = reader_.next()) return line->text;
      if (ended_) return "";
      read();
      loop_.run_once(true);
    }
    return "";
  }
  void read() {
    std::array<char, 65536> bytes;
    const ssize_t count = ::recv(pair_.theirs.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count > 0) reader_.add({bytes.data(), static_cast<std::size_t>(count)});
    if (count == 0 || (count < 0 && errno != EAGAIN)) ended_ = true;
  }
  // The next line, if it has come.
  std::string line_now() {
    read();
    const std::optional<LineReader::Line> line = reader_.next();
    return line ? line->text : "";
  }
  // Sends a request and returns the answer.
  Json ask(std::string_view method, const Json& params = Json::object()) {
    send(rpc_request_line(1, method, params) + "\n");
    const std::string answer = line();
    return answer.empty() ? Json() : Json::parse(answer);
  }
  bool ended() {
    for (int round = 0; round < 50 && !ended_; ++round) {
      loop_.run_once(true);
      read();
    }
    return ended_;
  }

 private:
  EventLoop& loop_;
  SocketPair pair_;
  LineReader reader_{std::size_t{64} << 20};
  bool ended_ = false;
};

}  // namespace lanyard::testing
