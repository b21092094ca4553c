// SPDX-License-Identifier: MIT
//
// The forwarding core alone, without a system call: frames are made by one endpoint and vanish in
// another. A frame's cost here is taking it from the pool, admission, learning, look-up, the
// outgoing batch and giving it back. Prints time for each frame, and allocations for each frame
// (must be 0).

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "switch/bridge/switch.h"
#include "switch/control/plugin_host.h"
#include "switch/frame/frame_pool.h"

namespace {

std::uint64_t allocations = 0;

}  // namespace

// Counted for the whole program: what the frame path must not do cannot hide. Not inlined, because
// the compiler would complain of free() for what new made.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace lanyard {
namespace {

constexpr std::size_t kFrameSize = 64;

class NobodyListens final : public EventSink {
 public:
  void on_event(const Event&) override {}
};

// Full batches for ever, from stations of its own to stations of the other side, in an order that
// is no friend of caches.
class Source final : public Endpoint {
 public:
  Source(FramePool& pool, std::uint8_t side, std::uint32_t stations)
      : pool_(pool), side_(side), stations_(stations) {}
  std::string label() const override { return "source"; }
  Caps caps() const override { return {}; }
  int wait_fd() const override { return -1; }
  Rx receive(FrameBatch& into) override {
    while (into.room() != 0) {
      FrameRef frame = pool_.make();
      std::uint8_t* const bytes = frame->segments[0].data;
      write_station(bytes, static_cast<std::uint8_t>(1 - side_), next());
      write_station(bytes + 6, side_, next());
      bytes[12] = 0x08;
      bytes[13] = 0x00;
      frame->set_bytes(bytes, kFrameSize);
      into.push(std::move(frame));
    }
    return Rx::more;
  }
  Transmitted transmit(std::span<const Outgoing> frames) override {
    for (const Outgoing& out : frames) bytes_ += out.wire_size();
    benchmark::DoNotOptimize(bytes_);
    return {frames.size(), 0, Drop::none};
  }

 private:
  static void write_station(std::uint8_t* at, std::uint8_t side, std::uint32_t station) {
    at[0] = 0x02;
    at[1] = side;
    at[2] = 0;
    at[3] = static_cast<std::uint8_t>(station >> 16);
    at[4] = static_cast<std::uint8_t>(station >> 8);
    at[5] = static_cast<std::uint8_t>(station);
  }
  std::uint32_t next() {
    state_ = state_ * 1664525 + 1013904223;
    return (state_ >> 8) & (stations_ - 1);
  }

  FramePool& pool_;
  std::uint8_t side_;
  std::uint32_t stations_;  // a power of two
  std::uint32_t state_ = 1;
  std::size_t bytes_ = 0;
};

struct Bench {
  explicit Bench(PortId ports, std::uint32_t stations) : bridge(settings(ports), pool, events) {
    for (PortId id = 1; id <= ports; ++id) {
      PlugRequest request;
      request.port = id;
      Port* const port = bridge.port_for(request).value();
      Plug::Traits traits;
      traits.module = "memory";
      traits.id = id;
      const auto side = static_cast<std::uint8_t>(id == 1 ? 0 : 1);
      bridge.plug(*port, std::make_unique<Source>(pool, side, stations), traits);
    }
  }
  static Switch::Settings settings(PortId ports) {
    Switch::Settings settings;
    settings.ports_max = static_cast<PortId>(ports + 1);
    settings.hash_secret = 0x9e3779b97f4a7c15;
    return settings;
  }
  // What a lane does with one ready endpoint.
  void turn(PortId id) {
    Port& port = *bridge.port(id);
    port.plugs().front()->endpoint().receive(batch);
    bridge.forward(port, batch);
    bridge.flush().clear();
  }

  FramePool pool;
  NobodyListens events;
  Switch bridge;
  FrameBatch batch;
};

// What a nat network's guests have when nothing was configured.
GuardSettings default_guards() {
  GuardSettings settings;
  settings.dhcp_guard = settings.dhcpv6_guard = settings.ra_guard = true;
  settings.max_macs = 1U << 20;
  settings.broadcast_pps = settings.multicast_pps = settings.unknown_pps = 10000;
  return settings;
}

// Two ports, all stations known: each frame goes to one port. The source's own work is included.
void unicast_with(benchmark::State& state, const GuardSettings& guards) {
  const auto stations = static_cast<std::uint32_t>(state.range(0) / 2);
  Bench bench(2, stations);
  for (std::uint32_t i = 0; i < stations / 4; ++i) {  // 16 looks at each station: all are known
    bench.turn(1);
    bench.turn(2);
  }
  for (const PortId id : {PortId{1}, PortId{2}}) {
    if (!bench.bridge.set_guard(id, guards)) state.SkipWithError("the guards are refused");
  }
  const std::uint64_t before = allocations;
  std::uint64_t frames = 0;
  for (auto _ : state) {
    bench.turn(1);
    bench.turn(2);
    frames += 2 * FrameBatch::kCapacity;
  }
  const auto made = static_cast<double>(allocations - before);
  state.SetItemsProcessed(static_cast<std::int64_t>(frames));
  // The inverse of 10^9 frames a second: nanoseconds a frame.
  state.counters["ns_per_frame"] = benchmark::Counter(
      static_cast<double>(frames) / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["allocations_per_frame"] = made / static_cast<double>(frames);
}
void unicast(benchmark::State& state) {
  unicast_with(state, {});
}
BENCHMARK(unicast)->Arg(64)->Arg(65536);

// The same, with default guards; the difference may be 5 % of it.
void unicast_guarded(benchmark::State& state) {
  unicast_with(state, default_guards());
}
BENCHMARK(unicast_guarded)->Arg(64)->Arg(65536);

// One port sends to unknown stations: a reference to each of the other ports.
void flood(benchmark::State& state) {
  const auto copies = static_cast<PortId>(state.range(0));
  Bench bench(static_cast<PortId>(copies + 1), 64);
  bench.turn(1);
  std::uint64_t made_copies = 0;
  for (auto _ : state) {
    bench.turn(1);
    made_copies += std::uint64_t{copies} * FrameBatch::kCapacity;
  }
  state.counters["ns_per_copy"] =
      benchmark::Counter(static_cast<double>(made_copies) / 1e9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(flood)->Arg(31);

class NobodyReads final : public Log {
 public:
  void write(LogLevel, std::string_view) override {}
};

// A switch with 64 known stations, and what a plugin needs beside it.
struct PluggedBench : Bench {
  PluggedBench() : Bench(2, 32) {
    for (int i = 0; i < 16; ++i) {
      turn(1);
      turn(2);
    }
  }

  NobodyReads log;
  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  DebugHub hub{*loop, log};
  Lane lane{bridge, pool, *loop, log};
  BackendRegistry backends;
  CommandTable commands;
  PluginHost host{{bridge, lane, backends, commands, hub, log}};
};

// About 0.1 ms: short beside what the scheduler takes away at a time.
double ns_per_frame(Bench& bench) {
  constexpr int kTurns = 32;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kTurns; ++i) {
    bench.turn(1);
    bench.turn(2);
  }
  const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
  return taken.count() / (2 * kTurns * FrameBatch::kCapacity);
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// What a plugin's filter that looks at nothing and lets all pass costs a frame, which is shown on
// its way in and on its way out. Two switches take turns, one with the plugin and one without, so
// that whatever else the machine does is the same for both.
void plugin_that_passes_all(benchmark::State& state) {
  PluggedBench bare;
  PluggedBench filtered;
  if (const Result<void> added = filtered.host.add(LANYARD_PLUGINS "/acl.so"); !added) {
    state.SkipWithError(added.error().text.c_str());
    return;
  }
  std::vector<double> without;
  std::vector<double> more;
  for (auto _ : state) {
    without.push_back(ns_per_frame(bare));
    more.push_back(ns_per_frame(filtered) - without.back());
  }
  state.counters["ns_without"] = median(without);
  state.counters["ns_more"] = median(more);
}
BENCHMARK(plugin_that_passes_all);

// What a switch without filters pays for that it could have some: a look at an empty chain, on the
// way in and on the way out, here for every single frame (it is once a batch).
void no_plugin(benchmark::State& state) {
  PluggedBench bench;
  const FilterChain& chain = bench.bridge.filters();
  Port& port = *bench.bridge.port(1);
  EgressBatch outgoing;
  std::uint64_t frames = 0;
  for (auto _ : state) {
    benchmark::ClobberMemory();
    if (!chain.empty()) [[unlikely]]
      chain.ingress(port, bench.batch);
    benchmark::ClobberMemory();
    if (!chain.empty()) [[unlikely]]
      chain.egress(port, outgoing);
    ++frames;
  }
  state.counters["ns_more"] = benchmark::Counter(
      static_cast<double>(frames) / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(no_plugin);

}  // namespace
}  // namespace lanyard

BENCHMARK_MAIN();
