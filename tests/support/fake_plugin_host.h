// SPDX-License-Identifier: MIT
//
// A host for one plugin, without a switch: the test gives it frames and moves the clock, and sees
// when each frame came out again. Time is virtual, so what a plugin does with it is exact.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/lanyard_plugin.h"
#include "tests/support/frame_builder.h"

namespace lanyard::testing {

class FakePluginHost {
 public:
  struct Arrival {
    std::uint64_t at_ns = 0;
    Bytes bytes;
  };

  explicit FakePluginHost(const std::string& file) {
    library_ = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library_, nullptr) << ::dlerror();
    fill_table();
    if (library_ == nullptr) return;
    plugin_ = static_cast<const struct lanyard_plugin*>(::dlsym(library_, "lanyard_plugin"));
    EXPECT_NE(plugin_, nullptr);
    if (plugin_ != nullptr) started_ = plugin_->start(&table_, &self_) == 0;
    EXPECT_TRUE(started_);
  }
  ~FakePluginHost() {
    if (started_ && plugin_->stop != nullptr) plugin_->stop(self_);
    if (library_ != nullptr) ::dlclose(library_);
  }
  FakePluginHost(const FakePluginHost&) = delete;
  FakePluginHost& operator=(const FakePluginHost&) = delete;

  // A console line; the lines of its reply are in reply().
  int run(std::string_view line) {
    reply_.clear();
    for (const auto& [path, command] : commands_) {
      if (!line.starts_with(path)) continue;
      std::string_view rest = line.substr(path.size());
      while (rest.starts_with(' ')) rest.remove_prefix(1);
      return command(self_, std::string(rest).c_str(), reinterpret_cast<lanyard_reply*>(this));
    }
    return -ENOSYS;
  }
  const std::vector<std::string>& reply() const { return reply_; }
  const std::vector<std::string>& told() const { return told_; }

  // Frames come at a port, or are about to leave by it.
  void give(std::uint16_t port, int direction, const std::vector<Bytes>& frames) {
    frames_.clear();
    originals_ = frames;
    for (Bytes& bytes : originals_) {
      lanyard_frame frame{};
      frame.length = static_cast<std::uint32_t>(bytes.size());
      bytes.resize(bytes.size() + 64);
      frame.data = bytes.data();
      frames_.push_back(frame);
    }
    taken_.assign(frames.size(), false);
    lanyard_batch batch{};
    batch.size = sizeof batch;
    batch.frame_size = sizeof(lanyard_frame);
    batch.count = static_cast<std::uint32_t>(frames.size());
    batch.port = port;
    batch.direction = static_cast<std::uint8_t>(direction);
    batch.frames = frames_.data();
    if ((filter_.directions & static_cast<unsigned>(direction)) == 0) return;
    filter_.frames(self_, &batch);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      if (taken_[i]) continue;
      if (frames_[i].verdict == LANYARD_DROP) {
        ++dropped;
      } else {
        arrive(i);
      }
    }
  }
  void give(std::uint16_t port, int direction, std::size_t size) {
    give(port, direction, {Bytes(size, 0x5a)});
  }

  // The clock goes on, and stops at each timer on the way.
  void advance(std::uint64_t by_ns) {
    const std::uint64_t end = now_ns + by_ns;
    while (!timers_.empty()) {
      const auto next = std::min_element(
          timers_.begin(), timers_.end(),
          [](const auto& one, const auto& other) { return one.second.at < other.second.at; });
      if (next->second.at > end) break;
      now_ns = std::max(now_ns, next->second.at);
      const Timer timer = next->second;
      if (timer.period == 0) {
        timers_.erase(next);
      } else {
        next->second.at += timer.period;
      }
      timer.expired(timer.argument);
    }
    now_ns = end;
  }

  std::uint64_t now_ns = 1'000'000'000;
  std::vector<Arrival> arrived;
  std::uint64_t passed = 0;
  bool keep = true;  // false: only count what arrives
  std::uint64_t dropped = 0;
  std::map<std::uint16_t, std::int64_t> users;

 private:
  struct Timer {
    std::uint64_t at;
    std::uint64_t period;
    void (*expired)(void*);
    void* argument;
  };
  struct Table : lanyard_host {
    FakePluginHost* fake = nullptr;
  };
  using Host = const lanyard_host;

  static FakePluginHost& of(Host* host) { return *static_cast<const Table*>(host)->fake; }

  void arrive(std::size_t index) {
    ++passed;
    if (!keep) return;
    arrived.push_back(
        {now_ns, Bytes(frames_[index].data, frames_[index].data + frames_[index].length)});
  }

  void fill_table() {
    table_.fake = this;
    table_.size = sizeof(lanyard_host);
    table_.abi = LANYARD_PLUGIN_ABI;
    table_.add_filter = [](Host* h, const lanyard_filter* given) {
      of(h).filter_ = *given;
      return 0;
    };
    table_.add_command = [](Host* h, const lanyard_command* given) {
      of(h).commands_.emplace_back(given->path, given->run);
      return 0;
    };
    table_.add_category = [](Host*, const lanyard_category*) { return 1; };
    table_.subscribe = [](Host*, const char*, void (*)(void*, const lanyard_event*)) { return 0; };
    table_.category_wanted = [](Host*, int) { return 1; };
    table_.tell = [](Host* h, int, const char* text) { of(h).told_.emplace_back(text); };
    table_.log = [](Host*, int, const char*) {};
    table_.reply = [](Host* h, lanyard_reply*, const char* text) {
      of(h).reply_.emplace_back(text);
    };
    table_.now_ns = [](Host* h) { return of(h).now_ns; };
    table_.add_timer = [](Host* h, std::uint64_t delay, std::uint64_t period,
                          void (*expired)(void*), void* argument) {
      of(h).timers_[++of(h).numbers_] = {of(h).now_ns + delay, period, expired, argument};
      return of(h).numbers_;
    };
    table_.remove_timer = [](Host* h, std::uint64_t timer) { of(h).timers_.erase(timer); };
    table_.writable = [](Host* h, lanyard_batch*, std::uint32_t index) {
      of(h).frames_[index].room = of(h).frames_[index].length + 64;
      return 0;
    };
    table_.hold = [](Host* h, lanyard_batch*, std::uint32_t index) {
      FakePluginHost& fake = of(h);
      fake.taken_[index] = true;
      const lanyard_frame& frame = fake.frames_[index];
      fake.held_[++fake.numbers_] = Bytes(frame.data, frame.data + frame.length);
      return fake.numbers_;
    };
    table_.copy = [](Host* h, std::uint64_t held) {
      FakePluginHost& fake = of(h);
      const Bytes bytes = fake.held_.at(held);
      fake.held_[++fake.numbers_] = bytes;
      return fake.numbers_;
    };
    table_.release = [](Host* h, std::uint64_t held, int verdict) {
      FakePluginHost& fake = of(h);
      if (verdict == LANYARD_PASS) {
        fake.arrived.push_back({fake.now_ns, fake.held_.at(held)});
      } else {
        ++fake.dropped;
      }
      fake.held_.erase(held);
    };
    table_.port_user = [](Host* h, std::uint16_t port) {
      const auto found = of(h).users.find(port);
      return found != of(h).users.end() ? found->second : std::int64_t{-1};
    };
    table_.port_description = [](Host*, std::uint16_t) { return "somebody"; };
  }

  void* library_ = nullptr;
  const struct lanyard_plugin* plugin_ = nullptr;
  void* self_ = nullptr;
  bool started_ = false;
  Table table_{};
  lanyard_filter filter_{};
  std::vector<std::pair<std::string, int (*)(void*, const char*, lanyard_reply*)>> commands_;
  std::vector<std::string> reply_;
  std::vector<std::string> told_;
  std::map<std::uint64_t, Timer> timers_;
  std::map<std::uint64_t, Bytes> held_;
  std::uint64_t numbers_ = 0;
  std::vector<lanyard_frame> frames_;
  std::vector<Bytes> originals_;
  std::vector<bool> taken_;
};

}  // namespace lanyard::testing
