// SPDX-License-Identifier: MIT
//
// The NAT alone: a guest in this process whose own time is not counted, a peer on loopback in
// another thread. Prints Gbit for each second of CPU that the NAT's thread spends in the NAT, the
// kernel's part of it included.
#include <poll.h>

#include <atomic>
#include <cstdio>
#include <ctime>
#include <thread>

#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

constexpr Duration kLength = std::chrono::seconds(2);

struct Case {
  const char* name;
  bool upload;
  bool v6;
  bool large_segments;
  std::size_t segment_size;
  std::uint32_t mtu;
  unsigned flows;
};

// The other end of one connection: sends or takes all it can.
void serve(int fd, bool upload, const std::atomic<bool>& stop) {
  std::vector<char> bytes(256 * 1024);
  while (!stop) {
    pollfd wait{fd, static_cast<short>(upload ? POLLIN : POLLOUT), 0};
    if (::poll(&wait, 1, 100) <= 0) continue;
    const ssize_t n = upload ? ::recv(fd, bytes.data(), bytes.size(), 0)
                             : ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return;
  }
}

void run(const Case& row) {
  NetworkConfig config = nat_config();
  config.mtu = row.mtu;
  NatWorld world(config);
  world.guest.checks = false;
  world.guest.large_segments = row.large_segments;
  world.guest.segment_size = row.segment_size;
  const UniqueFd listener = bound_socket(SOCK_STREAM, row.v6);
  std::vector<UniqueFd> servers(row.flows);
  for (UniqueFd& server : servers) {
    auto& c = world.guest.connect(row.v6 ? kGuest6 : kGuest4, row.v6 ? kRouter6 : kRouter4,
                                  port_of(listener.get()));
    world.until([&] { return accept_once(listener, server) && c.established; });
  }
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (const UniqueFd& server : servers) {
    threads.emplace_back([&, fd = server.get()] { serve(fd, row.upload, stop); });
  }
  if (row.upload) {
    for (auto& c : world.guest.connections) c.to_send.resize(64 << 20);
  }
  world.guest.clock = &thread_cpu_now;
  std::uint64_t bytes = 0;
  Duration in_loop{0};
  const Time end = monotonic_now() + kLength;
  const std::uint64_t frames = world.guest.frames_in;
  const Time begin = monotonic_now();
  while (monotonic_now() < end) {
    const Time before = thread_cpu_now();
    world.loop->run_once(true);
    in_loop += thread_cpu_now() - before;
    world.guest.step(*world.nat);
    for (auto& c : world.guest.connections) {
      bytes += c.received.size();
      c.received.clear();
      if (row.upload && c.sent > (32 << 20)) {
        bytes += c.sent;
        c.sent = 0;
      }
    }
  }
  const double wall = std::chrono::duration<double>(monotonic_now() - begin).count();
  for (const auto& c : world.guest.connections) bytes += row.upload ? c.sent : 0;
  stop = true;
  for (std::thread& thread : threads) thread.join();
  const double cpu = std::chrono::duration<double>(in_loop + world.guest.in_nat).count();
  std::printf("%-34s %6.2f Gbit/CPU-s  %6.2f Gbit/s  %8.0f frames to the guest/s\n", row.name,
              static_cast<double>(bytes) * 8e-9 / cpu, static_cast<double>(bytes) * 8e-9 / wall,
              static_cast<double>(world.guest.frames_in - frames) / wall);
  std::fflush(stdout);
}

}  // namespace
}  // namespace lanyard::testing

int main() {
  using lanyard::testing::Case;
  for (const Case& row :
       {Case{"upload, MTU 1500", true, false, false, 1460, 1500, 1},
        Case{"upload, MTU 9000", true, false, false, 8960, 9000, 1},
        Case{"upload, TSO", true, false, true, 1460, 1500, 1},
        Case{"upload, TSO, IPv6", true, true, true, 1440, 1500, 1},
        Case{"upload, MTU 1500, 4 flows", true, false, false, 1460, 1500, 4},
        Case{"download, MTU 1500", false, false, false, 1460, 1500, 1},
        Case{"download, IPv6", false, true, false, 1440, 1500, 1},
        Case{"download, MTU 1500, 4 flows", false, false, false, 1460, 1500, 4}}) {
    lanyard::testing::run(row);
  }
}
