// SPDX-License-Identifier: MIT
//
// A DHCP server with everything around it made up: guests' side, lease store, clocks. Tests say
// what a client sends and read what comes back.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gateway/dhcp_message.h"
#include "backend/gateway/dhcp_server.h"
#include "tests/support/fake_log.h"

namespace lanyard::testing {

inline Ipv4Address ip(std::string_view text) {
  return Ipv4Address::parse(text).value();
}

inline MacAddress mac_number(std::uint64_t n) {
  return MacAddress::from_number(0x525400000000 + n);
}

// What leaves for the guests.
class RecordingLink final : public GuestLink {
 public:
  struct Sent {
    MacAddress guest;
    IpAddress source;
    IpAddress destination;
    std::uint16_t source_port;
    std::uint16_t destination_port;
    std::vector<std::uint8_t> payload;
  };

  void send_udp(const GuestDatagram& d) override {
    sent.push_back({d.guest,
                    d.source,
                    d.destination,
                    d.source_port,
                    d.destination_port,
                    {d.payload.begin(), d.payload.end()}});
  }
  void send_arp_request(Ipv4Address sender, Ipv4Address target) override {
    if (sender.is_unspecified()) probes.push_back(target);
  }
  void send_icmp6(MacAddress, const Ipv6Address&, const Ipv6Address&,
                  std::span<const std::uint8_t>) override {}
  void send_frame(std::span<const std::uint8_t>, const Offload&) override {}
  bool has_room() const override { return true; }

  std::vector<Sent> sent;
  std::vector<Ipv4Address> probes;
};

class MemoryStore final : public LeaseStore {
 public:
  std::vector<Lease> load() override {
    std::vector<Lease> all;
    for (const auto& [address, lease] : leases) all.push_back(lease);
    return all;
  }
  void put(const Lease& lease) override {
    leases[lease.address] = lease;
    ++writes;
  }
  void erase(Ipv4Address address) override { leases.erase(address); }
  void replace(std::span<const Lease> all) override {
    leases.clear();
    for (const Lease& lease : all) leases[lease.address] = lease;
    ++replaced;
  }

  std::map<Ipv4Address, Lease> leases;
  std::size_t writes = 0;
  std::size_t replaced = 0;
};

// 10.0.2.0/24 as a NAT network has it, leases from .15 on.
inline NetworkConfig nat_network() {
  NetworkConfig config;
  config.name = "nat";
  config.kind = NetworkKind::nat;
  config.subnet = Ipv4Prefix{ip("10.0.2.0"), 24};
  config.router = ip("10.0.2.2");
  config.dns_address = ip("10.0.2.3");
  config.dhcp.enabled = true;
  config.dhcp.ranges = {{ip("10.0.2.15"), ip("10.0.2.254")}};
  config.dhcp.router = config.router;
  config.dhcp.dns = {ip("10.0.2.3")};
  config.dhcp.domain = "lab";
  return config;
}

// What a client says; the fields that a test does not set are those of a client that knows nothing.
struct Say {
  DhcpType type = DhcpType::discover;
  MacAddress mac{};
  std::optional<Ipv4Address> requested{};
  std::optional<Ipv4Address> server{};
  Ipv4Address ciaddr{};
  Ipv4Address giaddr{};
  std::string client_id{};
  std::string host_name{};
  std::vector<std::uint8_t> wants{};
  std::vector<DhcpOptionConfig> more{};
  std::uint16_t flags = 0;
  std::uint32_t xid = 0x1234;
};

inline std::vector<std::uint8_t> bytes_of(const Say& say) {
  DhcpMessage header;
  header.xid = say.xid;
  header.flags = say.flags;
  header.ciaddr = say.ciaddr;
  header.giaddr = say.giaddr;
  header.chaddr = say.mac;
  std::vector<DhcpOptionConfig> options{
      {dhcp_option::message_type, {static_cast<std::uint8_t>(say.type)}}};
  const auto add = [&](std::uint8_t code, std::vector<std::uint8_t> value) {
    if (!value.empty()) options.push_back({code, std::move(value)});
  };
  if (say.requested) add(dhcp_option::requested_address, dhcp_value(say.requested->number()));
  if (say.server) add(dhcp_option::server_identifier, dhcp_value(say.server->number()));
  add(dhcp_option::client_identifier, dhcp_value(say.client_id));
  add(dhcp_option::host_name, dhcp_value(say.host_name));
  add(dhcp_option::parameter_list, say.wants);
  for (const DhcpOptionConfig& option : say.more) options.push_back(option);
  return build_dhcp_message(header, options, 1500).bytes;
}

struct DhcpWorld {
  struct Answer {
    DhcpMessage message;
    MacAddress to;
    Ipv4Address destination;
    std::uint16_t port = 0;
  };

  explicit DhcpWorld(NetworkConfig network = nat_network()) : config(std::move(network)) {
    start();
  }

  void start() {
    DhcpServer::Callbacks callbacks;
    callbacks.on_event = [this](const LeaseEvent& event) { events.push_back(event); };
    callbacks.wall_clock_s = [this] { return wall_s; };
    server = std::make_unique<DhcpServer>(config, mac_number(0xffffff), link, store, log,
                                          std::move(callbacks), now);
  }

  void send(const Say& say) {
    const auto bytes = bytes_of(say);
    send_bytes(say.mac, bytes, say.ciaddr);
  }
  void send_bytes(MacAddress from, std::span<const std::uint8_t> bytes, Ipv4Address source = {}) {
    server->on_datagram({from, source, ip("255.255.255.255"), 68, 67, bytes}, now);
  }
  // Both clocks; the server is woken as it wants.
  void pass(Duration time) {
    const Time end = now + time;
    const Time start_of_it = now;
    const std::int64_t wall_then = wall_s;
    for (auto next = server->next_deadline(); next && *next <= end;
         next = server->next_deadline()) {
      now = std::max(now, *next);
      set_wall(wall_then, start_of_it);
      server->on_time(now);
      if (after_waking) after_waking();
    }
    now = end;
    set_wall(wall_then, start_of_it);
  }

  // What was answered since this was last asked.
  std::vector<Answer> answers() {
    std::vector<Answer> all;
    for (const auto& sent : link.sent) {
      auto parsed = parse_dhcp_message(sent.payload);
      if (!parsed) throw std::runtime_error(parsed.error().text);
      all.push_back({parsed.take(), sent.guest, sent.destination.v4(), sent.destination_port});
    }
    link.sent.clear();
    return all;
  }
  std::optional<Answer> answer() {
    auto all = answers();
    return all.size() == 1 ? std::optional(all.front()) : std::nullopt;
  }
  // After the probe.
  std::optional<Answer> ask(const Say& say) {
    answers();
    send(say);
    if (link.sent.empty()) pass(DhcpServer::kProbeTime);
    return answer();
  }
  // DISCOVER to ACK; nullopt when it does not come so far.
  std::optional<Ipv4Address> lease(Say say) {
    say.type = DhcpType::discover;
    const auto offer = ask(say);
    if (!offer || offer->message.type != DhcpType::offer) return std::nullopt;
    say.type = DhcpType::request;
    say.requested = offer->message.yiaddr;
    say.server = offer->message.address(dhcp_option::server_identifier);
    const auto ack = ask(say);
    if (!ack || ack->message.type != DhcpType::ack) return std::nullopt;
    return ack->message.yiaddr;
  }
  std::optional<Ipv4Address> lease(std::uint64_t n) {
    Say say;
    say.mac = mac_number(n);
    return lease(say);
  }
  std::optional<LeaseState> state(Ipv4Address address) const {
    for (const Lease& lease : server->leases(now)) {
      if (lease.address == address) return lease.state;
    }
    return std::nullopt;
  }

  NetworkConfig config;
  RecordingLink link;
  MemoryStore store;
  FakeLog log;
  std::vector<LeaseEvent> events;
  Time now = std::chrono::hours(1);
  std::int64_t wall_s = 1'700'000'000;
  std::unique_ptr<DhcpServer> server;
  std::function<void()> after_waking;  // what others do meanwhile

 private:
  void set_wall(std::int64_t then, Time since) {
    wall_s = then + std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
  }
};

}  // namespace lanyard::testing
