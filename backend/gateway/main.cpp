// SPDX-License-Identifier: MIT
//
// lanyard-gateway: started by lanyardd with the frame socket as descriptor 3 and the control socket
// as descriptor 4. Ends when either is closed, or by SIGTERM.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "backend/gateway/control.h"
#include "backend/gateway/process.h"
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

int run() {
  if (Result<void> prepared = prepare_process(); !prepared) return complain(prepared.error());
  Result<std::unique_ptr<EventLoop>> made = EventLoop::create();
  if (!made) return complain(made.error());
  EventLoop& loop = *made.value();
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
        "lanyard-gateway [NETWORK]: serves a network of lanyardd, which starts it. "
        "See lanyard-gateway(8).");
    return 0;
  }
  return lanyard::run();
}
