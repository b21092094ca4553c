// SPDX-License-Identifier: MIT
//
// lanyardd, and vde_switch when it is called so.
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "switch/base/identity.h"
#include "switch/base/sandbox_probe.h"
#include "switch/base/text.h"
#include "switch/base/write_bytes.h"
#include "switch/daemon/daemon.h"
#include "switch/daemon/keeper.h"
#include "switch/daemon/network_daemon.h"
#include "switch/daemon/networks_confinement.h"
#include "switch/daemon/spawner_process.h"
#include "switch/daemon/standby_memory.h"
#include "switch/frame/frame_pool.h"
#include "switch/network/config_file.h"
#include "switch/network/paths.h"

namespace lanyard {
namespace {

constexpr int kExitUsage = 1;

std::string base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

// How this process was started, so that it can be started again.
struct Invocation {
  std::string path;                    // of the program, as it was found
  std::vector<std::string> arguments;  // the name it was called by first

  const std::string& program() const { return arguments.front(); }
};

Invocation invocation_of(int argc, char* const argv[]) {
  Invocation invocation;
  const auto* const found = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  std::error_code ignored;
  invocation.path = std::filesystem::absolute(found != nullptr ? found : "", ignored).string();
  invocation.arguments.emplace_back(base_name(argc > 0 ? argv[0] : "lanyardd"));
  for (int i = 1; i < argc; ++i) invocation.arguments.emplace_back(argv[i]);
  return invocation;
}

// The caller (a shell with a terminal) wants to know that it was the signal.
void end_by(int signal) {
  if (signal == 0) return;
  ::raise(signal);
  // Until now it is blocked. A sandbox has this call anyway, which does not come back.
  sigset_t others;
  ::sigfillset(&others);
  ::sigdelset(&others, signal);
  ::ppoll(nullptr, 0, nullptr, &others);
}

// The process that clients outlive: it starts this program again as its child.
int run_keeper(bool daemon, const Invocation& invocation, ServiceManager manager, DaemonLog& log) {
  std::optional<Background> background;
  if (daemon) {
    Result<Background> entered = Background::enter();
    if (!entered) {
      log.error("{}", entered.error().text);
      return kExitUsage;
    }
    background.emplace(entered.take());
  }
  int fatal_signal = 0;
  int code = 0;
  {
    Keeper keeper({invocation.arguments, invocation.path, background ? &*background : nullptr},
                  std::move(manager), log);
    code = keeper.run();
    fatal_signal = keeper.fatal_signal();
  }
  end_by(fatal_signal);
  return code;
}

// What looks users and groups up is loaded when it is first asked (nsswitch.conf(5)), and all of it
// only for somebody whom none knows. That needs files, which a sandbox has not, memory, without
// which the C library ends the program, and time, which a successor has not.
void load_user_database() {
  (void)::getpwuid(kNoUser);
  (void)::getgrgid(kNoGroup);
}

// What differs between the two daemons once they are ready in the background.
void tell_ready(const Daemon&, DaemonLog& log, bool in_background) {
  if (in_background) log.notice("VDE_SWITCH started");
}
void tell_ready(const NetworkDaemon&, DaemonLog&, bool) {}  // when it is confined

// What the service manager, or a keeper that has it from there, has opened for us.
GivenSockets given_sockets(ServiceManager& manager, KeptProcess& kept) {
  GivenSockets given;
  for (ServiceManager::Stored& one : manager.take_stored()) given.add(std::move(one.descriptor));
  for (UniqueFd& one : kept.take_given()) given.add(std::move(one));
  return given;
}

// Under a keeper it is the keeper that goes to the background, and a successor is there already.
template <typename D, typename Options>
int run(Options options, const Invocation& invocation) {
  DaemonLog log(invocation.program());
  const auto failed = [&log](const Error& error) {
    log.error("{}", error.text);
    return kExitUsage;
  };
  KeptProcess kept = KeptProcess::from_environment();
  ServiceManager manager = ServiceManager::from_environment();
  if (options.keeper && !kept.kept()) {
    return run_keeper(options.daemon, invocation, std::move(manager), log);
  }
  load_user_database();
  FramePool pool;
  Result<std::optional<HandoverState>> before =
      kept.begin([&pool] { prepare_standby_memory(pool); });
  if (!before) return failed(before.error());
  const bool in_background = options.daemon;
  const bool resumed = before.value().has_value();
  if (in_background && resumed) log.use_syslog();
  std::optional<Background> background;
  if (in_background && !kept.kept()) {
    Result<Background> entered = Background::enter();
    if (!entered) return failed(entered.error());
    background.emplace(entered.take());
  }
  int fatal_signal = 0;
  int code = 0;
  {
    D daemon(std::move(options), log, kept, pool, before.take(), given_sockets(manager, kept));
    if (const std::optional<int> failure = daemon.start()) {
      // What it has in its hands is not its own yet: a predecessor may go on with it.
      if (resumed) ::_exit(*failure);
      return *failure;
    }
    if (in_background && !resumed) {
      log.use_syslog();
      if (background) background->ready();
      if (!background) Background::detach_output();
    }
    if (!resumed) tell_ready(daemon, log, in_background);
    if (!kept.kept()) manager.ready();
    code = daemon.run();
    fatal_signal = daemon.fatal_signal();
  }
  end_by(fatal_signal);
  return code;
}

// What the sandbox of the built-in networks holds back on this machine.
int test_sandbox() {
  BackendRegistry backends;
  register_builtin_backends(backends);
  NetworksConfinement confinement(
      {.control_path = control_socket_path(), .runtime_directory = runtime_directory()}, backends);
  confinement.add(default_configuration(::geteuid() == 0));
  const Result<SandboxReport> report = enter_sandbox(confinement.policy(), SandboxMode::refuse);
  if (!report) {
    std::fprintf(stderr, "lanyardd: %s\n", report.error().text.c_str());
    return kExitUsage;
  }
  const std::vector<ProbeOutcome> outcomes = probe_sandbox(ProbeNetwork::none);
  // stdio's call for it is one of those that are refused.
  const std::string text = fmt::format("{}\n{}", report.value().text(), probe_text(outcomes));
  const bool told = write_bytes(STDOUT_FILENO, text.data(), text.size()) >= 0;
  return told && all_refused(outcomes) ? 0 : kExitUsage;
}

int main_of_networks(int argc, char* argv[], const Invocation& invocation) {
  const std::string& program = invocation.program();
  NetworksOptions options = parse_networks_options(argc, argv);
  switch (options.action) {
    case DaemonOptions::Action::help: std::fputs(networks_usage(program).c_str(), stdout); return 0;
    case DaemonOptions::Action::usage_error:
      std::fprintf(stderr, "%s: %s\n%s", program.c_str(), options.complaint.c_str(),
                   networks_usage(program).c_str());
      return kExitUsage;
    case DaemonOptions::Action::version: std::fputs(version_text().c_str(), stdout); return 0;
    case DaemonOptions::Action::run: break;
  }
  return run<NetworkDaemon>(std::move(options), invocation);
}

}  // namespace
}  // namespace lanyard

int main(int argc, char* argv[]) {
  using lanyard::DaemonOptions;
  if (const std::optional<int> code = lanyard::run_spawner(argc, argv)) return *code;
  const lanyard::Invocation invocation = lanyard::invocation_of(argc, argv);
  std::string program = invocation.program();
  if (argc > 0) argv[0] = program.data();  // getopt's complaints begin as ours do
  if (argc == 2 && std::string_view(argv[1]) == "--sandbox-selftest") {
    return lanyard::test_sandbox();
  }
  if (lanyard::asks_for_networks(program, argc, argv)) {
    return lanyard::main_of_networks(argc, argv, invocation);
  }
  DaemonOptions options = lanyard::parse_options(argc, argv);
  switch (options.action) {
    case DaemonOptions::Action::help:
      std::fputs(lanyard::usage(program).c_str(), stdout);
      return lanyard::kExitUsage;
    case DaemonOptions::Action::usage_error:
      std::fprintf(stderr, "%s: %s\n%s", program.c_str(), options.complaint.c_str(),
                   lanyard::usage(program).c_str());
      return lanyard::kExitUsage;
    case DaemonOptions::Action::version:
      std::fputs(lanyard::version_text().c_str(), stdout);
      return 0;
    case DaemonOptions::Action::run: break;
  }
  return lanyard::run<lanyard::Daemon>(std::move(options), invocation);
}
