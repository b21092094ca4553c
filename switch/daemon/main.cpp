// SPDX-License-Identifier: MIT
//
// lanyardd, and vde_switch when it is called so.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "switch/daemon/daemon.h"
#include "switch/daemon/network_daemon.h"

namespace lanyard {
namespace {

constexpr int kExitUsage = 1;

std::string base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

// The caller (a shell with a terminal) wants to know that it was the signal.
void end_by(int signal) {
  if (signal == 0) return;
  ::signal(signal, SIG_DFL);
  sigset_t one;
  ::sigemptyset(&one);
  ::sigaddset(&one, signal);
  ::sigprocmask(SIG_UNBLOCK, &one, nullptr);
  ::raise(signal);
}

int run_daemon(DaemonOptions options, const std::string& program) {
  DaemonLog log(program);
  std::optional<Background> background;
  if (options.daemon) {
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
    Daemon daemon(std::move(options), log);
    if (const std::optional<int> failed = daemon.start()) return *failed;
    if (background) {
      log.use_syslog();
      log.notice("VDE_SWITCH started");
      background->ready();
    }
    code = daemon.run();
    fatal_signal = daemon.fatal_signal();
  }
  end_by(fatal_signal);
  return code;
}

int run_networks(NetworksOptions options, const std::string& program) {
  DaemonLog log(program);
  std::optional<Background> background;
  if (options.daemon) {
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
    NetworkDaemon daemon(std::move(options), log);
    if (const std::optional<int> failed = daemon.start()) return *failed;
    if (background) {
      log.use_syslog();
      background->ready();
    }
    daemon.log().notice("ready");
    code = daemon.run();
    fatal_signal = daemon.fatal_signal();
  }
  end_by(fatal_signal);
  return code;
}

int main_of_networks(int argc, char* argv[], const std::string& program) {
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
  return run_networks(std::move(options), program);
}

}  // namespace
}  // namespace lanyard

int main(int argc, char* argv[]) {
  using lanyard::DaemonOptions;
  std::string program = lanyard::base_name(argc > 0 ? argv[0] : "lanyardd");
  if (argc > 0) argv[0] = program.data();  // getopt's complaints begin as ours do
  if (lanyard::asks_for_networks(program, argc, argv)) {
    return lanyard::main_of_networks(argc, argv, program);
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
  return lanyard::run_daemon(std::move(options), program);
}
