// SPDX-License-Identifier: MIT
//
// lanyard-gateway: started by lanyardd with the frame socket as descriptor 3, the control socket as
// descriptor 4 and, as descriptor 5, where listening Unix sockets come from. Ends when one of the
// first two is closed, or by SIGTERM.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "backend/gateway/confinement.h"
#include "backend/gateway/control.h"
#include "backend/gateway/process.h"
#include "switch/base/sandbox_probe.h"
#include "switch/base/text.h"
#include "switch/base/version.h"
#include "switch/network/config_file.h"
#include "switch/network/paths.h"
#include "switch/runtime/time_slice.h"

namespace lanyard {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitAllowed = 1;

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
  return 0;
}

// Refused calls fail by default: that costs a function, where ending costs every connection.
Result<void> confine(SandboxMode mode, const NetworkConfig& network,
                     const std::string& state_directory, Log& log) {
  const Result<SandboxReport> report =
      enter_sandbox(gateway_sandbox(network, state_directory), mode);
  if (!report) return report.error();
  log.write(LogLevel::debug, report.value().text());
  if (mode != SandboxMode::log) {
    for (const std::string& sentence : report.value().absent) log.notice("sandbox: {}", sentence);
  }
  return {};
}

// What the sandbox of a network with address translation holds back on this machine.
int test_sandbox() {
  const NetworkConfig network = default_configuration(false).networks.front();
  const Result<SandboxReport> report =
      enter_sandbox(gateway_sandbox(network, state_directory()), SandboxMode::refuse);
  if (!report) return complain(report.error());
  const std::vector<ProbeOutcome> outcomes = probe_sandbox(ProbeNetwork::internet);
  std::printf("%s\n%s", report.value().text().c_str(), probe_text(outcomes).c_str());
  return all_refused(outcomes) ? 0 : kExitAllowed;
}

int run(std::uint32_t busy_poll_us) {
  const Result<SandboxMode> mode = sandbox_mode_from_environment(default_sandbox_mode());
  if (!mode) return complain(mode.error());
  if (Result<void> prepared = prepare_process(); !prepared) return complain(prepared.error());
  Result<std::unique_ptr<EventLoop>> made = EventLoop::create();
  if (!made) return complain(made.error());
  EventLoop& loop = *made.value();
  loop.set_busy_poll(BusyPoll::of_microseconds(busy_poll_us));
  (void)ask_for_short_slices();  // without, it is slower where others compute, and no worse
  const UniqueFd terminated = termination();
  Result<EventLoop::Watch> watch =
      loop.watch(terminated.get(), EPOLLIN, [&loop](std::uint32_t) { loop.stop(); });
  if (!watch) return complain(watch.error());
  Result<std::unique_ptr<GatewayControl>> control = GatewayControl::open(
      loop, UniqueFd(kFrameDescriptor), UniqueFd(kControlDescriptor),
      UniqueFd(kListenersDescriptor),
      [mode = mode.value()](const NetworkConfig& network, const std::string& state_directory,
                            Log& log) { return confine(mode, network, state_directory, log); });
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
        "it.\nlanyard-gateway --sandbox-selftest: tries what its sandbox is to refuse.\n"
        "See lanyard-gateway(8).");
    return 0;
  }
  if (first == "--sandbox-selftest") return lanyard::test_sandbox();
  return lanyard::run(lanyard::busy_poll_us(argc, argv));
}
