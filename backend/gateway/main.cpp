// SPDX-License-Identifier: MIT
//
// lanyard-gateway: started by lanyardd with the frame socket as descriptor 3 and the control socket
// as descriptor 4. Ends when either is closed, or by SIGTERM.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "backend/gateway/control.h"
#include "backend/gateway/process.h"
#include "switch/base/text.h"
#include "switch/base/version.h"

namespace lanyard {
namespace {

constexpr int kExitUsage = 2;

int complain(const Error& error) {
  std::fprintf(stderr, "lanyard-gateway: %s\n", error.text.c_str());
  return kExitUsage;
}

// SIGTERM as something the loop can wait for.
UniqueFd termination() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

// `lanyardd` says what it was told itself.
std::uint32_t busy_poll_us(int argc, char* argv[]) {
  constexpr std::string_view kOption = "--busy-poll=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with(kOption)) continue;
    const std::optional<std::int64_t> us = parse_integer(word.substr(kOption.size()));
    if (us && *us >= 0 && *us <= BusyPoll::kMaxUs) return static_cast<std::uint32_t>(*us);
  }
  return BusyPoll::kDefaultUs;
}

int run(std::uint32_t busy_poll_us) {
  if (Result<void> prepared = prepare_process(); !prepared) return complain(prepared.error());
  Result<std::unique_ptr<EventLoop>> made = EventLoop::create();
  if (!made) return complain(made.error());
  EventLoop& loop = *made.value();
  loop.set_busy_poll(BusyPoll::of_microseconds(busy_poll_us));
  const UniqueFd terminated = termination();
  Result<EventLoop::Watch> watch =
      loop.watch(terminated.get(), EPOLLIN, [&loop](std::uint32_t) { loop.stop(); });
  if (!watch) return complain(watch.error());
  Result<std::unique_ptr<GatewayControl>> control =
      GatewayControl::open(loop, UniqueFd(kFrameDescriptor), UniqueFd(kControlDescriptor));
  if (!control) return complain(control.error());
  while (!loop.stopped()) control.value()->turn();
  control.value()->shut_down();
  return 0;
}

}  // namespace
}  // namespace lanyard

int main(int argc, char* argv[]) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "--version") {
    std::puts("lanyard-gateway " LANYARD_VERSION);
    return 0;
  }
  if (first == "--help" || first == "-h") {
    std::puts(
        "lanyard-gateway [NETWORK] [--busy-poll=US]: serves a network of lanyardd, which starts "
        "it. "
        "See lanyard-gateway(8).");
    return 0;
  }
  return lanyard::run(lanyard::busy_poll_us(argc, argv));
}
