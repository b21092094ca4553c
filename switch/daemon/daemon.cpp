// SPDX-License-Identifier: MIT
#include "switch/daemon/daemon.h"

#include <grp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "switch/base/version.h"
#include "switch/bridge/spanning_tree.h"
#include "switch/daemon/confinement.h"
#include "switch/daemon/handover_frames.h"
#include "switch/runtime/time_slice.h"

namespace lanyard {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitNoSocket = 255;

std::uint64_t random_number() {
  std::uint64_t number = 0;
  while (::getrandom(&number, sizeof number, 0) != sizeof number) {
  }
  return number;
}

// 00:ff and four random bytes, as vde_switch makes them.
MacAddress random_mac() {
  constexpr std::uint64_t kPrefix = 0x00ff00000000;
  return MacAddress::from_number(kPrefix | (random_number() & 0xffffffff));
}

// Two descriptors a client: the default of 1,024 is soon used up, and the hard limit is ours to
// use.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

bool is_readable(const std::string& path) {
  return ::access(path.c_str(), R_OK) == 0;
}

std::string absolute(const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  std::array<char, PATH_MAX> here{};
  if (::getcwd(here.data(), here.size()) == nullptr) return path;
  return fmt::format("{}/{}", here.data(), path);
}

}  // namespace

Daemon::Daemon(DaemonOptions options, DaemonLog& log, KeptProcess& kept, FramePool& pool,
               std::optional<HandoverState> before, GivenSockets given)
    : options_(std::move(options)),
      log_(log),
      kept_(kept),
      before_(std::move(before)),
      given_(std::move(given)),
      pool_(pool) {
  register_builtin_backends(backends_);
  backends_.given = &given_;
  if (options_.directory.empty()) {
    options_.directory = ::geteuid() == 0 ? "/var/run/vde.ctl" : "/tmp/vde.ctl";
  }
  add_all_commands(commands_);
}

Daemon::~Daemon() {
  kept_.detach();
  console_.reset();
  plugins_.reset();
  if (lane_ != nullptr) lane_->close_all();
}

std::optional<int> Daemon::start() {
  raise_descriptor_limit();
  if (Result<void> made = make_parts(); !made) {
    log_.error("{}", made.error().text);
    return kExitFailure;
  }
  for (const std::string& warning : options_.warnings) log_.warning("{}", warning);
  if (before_) return resume();
  start_spanning_tree();
  if (const auto code = open_directory()) return code;
  if (const auto code = write_pid_file()) return code;
  if (const auto code = open_console()) return code;
  open_taps_and_plugs();
  run_rc_file();
  given_.close_rest(log_);
  return std::nullopt;
}

Result<void> Daemon::make_parts() {
  Result<std::unique_ptr<EventLoop>> loop = EventLoop::create();
  if (!loop) return loop.error();
  loop_ = loop.take();
  reserve_.emplace(*loop_, log_);
  loop_->set_busy_poll(BusyPoll::of_microseconds(options_.busy_poll_us));
  loop_->moderate_wake_ups();
  if (const Result<void> asked = ask_for_short_slices(); !asked) {
    log_.write(LogLevel::debug, asked.error().text);
  }
  hub_ = std::make_unique<DebugHub>(*loop_, log_);
  Switch::Settings settings;
  settings.mac = options_.mac.value_or(random_mac());
  settings.ports_max = static_cast<PortId>(options_.ports);
  settings.hash_secret = random_number();
  switch_ = std::make_unique<Switch>(settings, pool_, *hub_);
  switch_->set_hub(options_.hub);
  switch_->pass_tags_by_default = options_.pass_tags;
  switch_->macs().settings().shown_buckets = options_.hash_size;
  lane_ = std::make_unique<Lane>(*switch_, pool_, *loop_, log_);
  info_.started = loop_->now();
  if (kept_.kept()) {
    info_.upgrade = [this](CommandDone done) { kept_.upgrade(std::move(done)); };
  }
  lane_->on_commit = [this] { kept_.commit(); };
  lane_->on_change = [this] { kept_.changed(); };
  backends_.before_open = [this] { kept_.settle_exclusive(); };
  KeptProcess::Callbacks callbacks;
  callbacks.state = [this](HandoverReason why) { return handover(why); };
  if (Result<void> attached = kept_.attach(*loop_, log_, std::move(callbacks)); !attached) {
    return attached;
  }
  return watch_signals();
}

// ---- a successor goes on ----

HandoverState Daemon::handover(HandoverReason why) {
  HandoverState state;
  state.writer = LANYARD_VERSION;
  state.sealed = why == HandoverReason::upgrade;
  state.started = info_.started;
  if (pid_file_) state.values["pid_file"] = pid_file_->path();
  SwitchRecord& record = state.switches.emplace_back();
  record.state = switch_->state();
  record.parts = lane_->handover(why);
  if (state.sealed) seal_frames(*switch_, pool_, record);
  for (HandoverPart& part : plugins_->handover()) state.parts.push_back(std::move(part));
  if (std::optional<HandoverPart> part = console_->handover(why)) {
    state.parts.push_back(std::move(*part));
  }
  return state;
}

// Nothing is opened that was open already, and no file of commands runs a second time.
std::optional<int> Daemon::resume() {
  const HandoverState before = std::move(*before_);
  before_.reset();
  if (before.switches.size() != 1) {
    log_.error("the state of the process before has {} switches", before.switches.size());
    return kExitFailure;
  }
  const SwitchRecord& record = before.switches.front();
  if (Result<void> restored = switch_->restore(record.state); !restored) {
    log_.error("what was configured cannot be had again: {}", restored.error().text);
    return kExitFailure;
  }
  info_.started = before.started;
  if (const auto found = before.values.find("pid_file"); found != before.values.end()) {
    pid_file_.emplace(PidFile::adopt(found->second, kept_.keeper()));
  }
  make_console();
  // First: consoles may listen to what plugins tell, and frames are not to pass an acl by.
  for (const HandoverPart& part : before.parts) {
    if (part.kind != "plugin") continue;
    if (Result<void> adopted = plugins_->adopt(part); !adopted) {
      log_.error("plugin {} is lost: {}", printable(part.text("name")), adopted.error().text);
    }
  }
  for (const HandoverPart& part : before.parts) {
    if (part.kind != "console") continue;
    if (Result<void> adopted = console_->adopt(part); !adopted) {
      log_.error("console: {}", adopted.error().text);
      continue;
    }
    info_.console_path = console_->path();
    info_.console_mode = options_.console_mode;
  }
  for (const HandoverPart& part : record.parts) {
    if (Result<void> adopted = backends_.adopt(part, *lane_); !adopted) {
      log_.error("{} is lost on the way from one process to the next: {}", printable(part.kind),
                 adopted.error().text);
    }
  }
  restore_frames(record, pool_, *switch_, *lane_);
  describe_directory();
  open_terminal();
  return std::nullopt;
}

// As vde_switch: the priority is cut to 16 bits, and a hub has no tree.
void Daemon::start_spanning_tree() {
  SpanningTree& tree = switch_->spanning_tree();
  tree.set_priority(static_cast<std::uint16_t>(options_.priority));
  if (!options_.fstp) return;
  if (Result<void> started = tree.start(); !started) log_.warning("-F: {}", started.error().text);
}

std::optional<int> Daemon::open_directory() {
  BackendOptions vde("vde", options_.directory);
  if (options_.mode) vde.set("mode", *options_.mode);
  if (options_.directory_mode) vde.set("dirmode", *options_.directory_mode);
  if (options_.group) vde.set("group", *options_.group);
  vde.set("mgmtmode", fmt::format("{:o}", options_.console_mode));
  if (options_.console_group) vde.set("mgmtgroup", *options_.console_group);
  for (const std::string& group : options_.port_groups) vde.set("portgroup", group);
  if (Result<void> opened = backends_.open(vde, *lane_); !opened) {
    log_.error("{}", opened.error().text);
    // A wrong group or port group is a usage error, a path that does not resolve is told apart too.
    const int code = opened.error().code;
    return code == EINVAL || code == ELOOP ? kExitFailure : kExitNoSocket;
  }
  describe_directory();
  return std::nullopt;
}

void Daemon::describe_directory() {
  const std::unique_ptr<char, decltype(&std::free)> real(
      ::realpath(options_.directory.c_str(), nullptr), &std::free);
  info_.control_directory = real != nullptr ? real.get() : options_.directory;
  info_.control_mode = 0600;
  if (options_.mode) {
    info_.control_mode = *parse_mode(*options_.mode);
  } else if (options_.directory_mode) {
    info_.control_mode = *parse_mode(*options_.directory_mode) & 0666U;
  }
}

std::optional<int> Daemon::write_pid_file() {
  if (options_.pid_file.empty()) return std::nullopt;
  Result<PidFile> file =
      PidFile::create(options_.pid_file, kept_.kept() ? kept_.keeper() : ::getpid());
  if (!file) {
    log_.error("{}", file.error().text);
    return kExitFailure;
  }
  pid_file_.emplace(file.take());
  return std::nullopt;
}

void Daemon::make_console() {
  plugins_ = std::make_unique<PluginHost>(
      PluginEnvironment{*switch_, *lane_, backends_, commands_, *hub_, log_});
  console_ = std::make_unique<Console>(
      Console::Context{*switch_, *lane_, backends_, commands_, info_, *hub_, log_, plugins_.get()});
  plugins_->set_console_opener([this](UniqueFd fd) { console_->adopt(std::move(fd)); });
}

std::optional<int> Daemon::open_console() {
  make_console();
  if (!options_.console_path.empty()) {
    SocketAccess access{options_.console_mode, kNoUser, kNoGroup};
    if (options_.console_group) {
      const group* const found = ::getgrnam(options_.console_group->c_str());
      if (found == nullptr) {
        log_.error("No such group '{}'", *options_.console_group);
        return kExitFailure;
      }
      access.group = found->gr_gid;
    }
    const std::string path = absolute(options_.console_path);
    if (Result<void> opened = console_->listen(path, access, given_.take(path)); !opened) {
      // vde_switch goes on without a console, and so do scripts that start a second switch.
      log_.error("mgmt bind {}: {}", path, std::strerror(opened.error().code));
    } else {
      info_.console_path = path;
      info_.console_mode = options_.console_mode;
    }
  }
  open_terminal();
  return std::nullopt;
}

void Daemon::open_terminal() {
  if (options_.daemon || options_.no_stdin) return;
  Result<void> opened = console_->open_terminal([this] {
    log_.notice("EOF on stdin, cleaning up and exiting");
    loop_->stop();
  });
  if (!opened) log_.warning("no console on standard input: {}", opened.error().text);
}

void Daemon::open_taps_and_plugs() {
  for (const std::string& tap : options_.taps) {
    if (Result<void> opened = backends_.open(BackendOptions("tap", tap), *lane_); !opened) {
      log_.error("ERROR OPENING tap interface: {}", opened.error().text);
    }
  }
  for (const std::string& url : options_.plugs) {
    const Result<BackendOptions> parsed = BackendOptions::parse(url);
    const Result<void> opened =
        parsed ? backends_.open(parsed.value(), *lane_) : Result<void>(parsed.error());
    if (!opened) log_.error("--plug {}: {}", printable(url), opened.error().text);
  }
}

void Daemon::run_rc_file() {
  if (!options_.rc_file.empty()) {
    if (!console_->run_file(options_.rc_file)) {
      log_.warning("rc file '{}': {}", options_.rc_file, std::strerror(errno));
    }
    return;
  }
  const char* const home = ::getenv("HOME");
  const std::string own = home != nullptr ? fmt::format("{}/.vde2/vde_switch.rc", home) : "";
  const std::string everybody = "/etc/vde2/vde_switch.rc";
  const std::string& path = !own.empty() && is_readable(own) ? own : everybody;
  if (is_readable(path)) console_->run_file(path);
}

Result<void> Daemon::watch_signals() {
  for (const int ignored : {SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGPROF, SIGVTALRM, SIGIO, SIGPWR,
                            SIGSTKFLT, SIGXFSZ}) {
    ::signal(ignored, SIG_IGN);
  }
  sigset_t handled;
  ::sigemptyset(&handled);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&handled, number);
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  // Whatever whoever started us had it be: by this one a terminal's shell shall see us end.
  ::signal(SIGINT, SIG_DFL);
  signals_.reset(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return Error{errno, fmt::format("signalfd: {}", std::strerror(errno))};
  Result<EventLoop::Watch> watch =
      loop_->watch(signals_.get(), EPOLLIN, [this](std::uint32_t) { on_signal(); });
  if (!watch) return watch.error();
  signal_watch_ = watch.take();
  return {};
}

void Daemon::on_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGHUP) {
      plugins_->on_hangup_signal();
      continue;
    }
    log_.notice("Caught signal {}, cleaning up and exiting", number);
    if (number == SIGINT) fatal_signal_ = number;
    loop_->stop();
  }
}

// Asked for, so nothing less will do than what this machine can give; what it cannot is said.
Result<void> Daemon::enter_sandbox() {
  const Result<SandboxReport> report =
      lanyard::enter_sandbox(switch_sandbox(options_), options_.sandbox);
  if (!report) return report.error();
  if (options_.sandbox != SandboxMode::off) log_.notice("{}", report.value().text());
  return {};
}

int Daemon::run() {
  if (Result<void> entered = enter_sandbox(); !entered) {
    log_.error("--sandbox: {}", entered.error().text);
    return kExitFailure;
  }
  kept_.ready();
  lane_->run();
  kept_.ending();
  console_->flush();
  return 0;
}

}  // namespace lanyard
