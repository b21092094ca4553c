// SPDX-License-Identifier: MIT
#include "switch/daemon/keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "switch/runtime/time_slice.h"

namespace lanyard {
namespace {

using Kind = KeeperMessage::Kind;

constexpr int kExitFailure = 1;
constexpr int kExitAbnormal = 255;
constexpr Duration kCheckPatience = std::chrono::seconds(5);
constexpr Duration kSealPatience = std::chrono::seconds(2);
constexpr Duration kTakeOverPatience = std::chrono::seconds(2);
// When those who have waited have been served.
constexpr Duration kStandbyPause = std::chrono::milliseconds(300);
constexpr Duration kUnsaidPause = std::chrono::milliseconds(20);
constexpr Duration kRestartPause = std::chrono::milliseconds(100);
constexpr std::string_view kStateName = "state";
constexpr std::string_view kHeldName = "held";
constexpr std::int64_t kNumberMax = 1 << 20;
// Above the number the link has in a child.
constexpr int kFirstOwnNumber = 10;

Error system_error(std::string_view what) {
  return {errno, fmt::format("{}: {}", what, std::strerror(errno))};
}

std::string path_of(const UniqueFd& executable) {
  return fmt::format("/proc/self/fd/{}", executable.get());
}

UniqueFd executable_of(std::string_view process) {
  const UniqueFd found(::open(fmt::format("/proc/{}/exe", process).c_str(), O_PATH | O_CLOEXEC));
  return UniqueFd(::fcntl(found.get(), F_DUPFD_CLOEXEC, kFirstOwnNumber));
}

// Of a descriptor in the service manager's store.
std::string name_of(int number, Time since, bool drain, bool exclusive) {
  return fmt::format("{}.{}.{}.{}", kHeldName, number, since.count(),
                     (drain ? 1 : 0) | (exclusive ? 2 : 0));
}

bool is_listening(int fd) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

long long milliseconds(Duration time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

}  // namespace

int Keeper::run() {
  Result<void> begun = prepare();
  if (begun) begun = start_first();
  if (!begun) {
    log_.error("{}", begun.error().text);
    return kExitFailure;
  }
  while (!loop_->stopped()) loop_->run_once(false);
  return exit_code_;
}

Result<void> Keeper::prepare() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  Result<std::unique_ptr<EventLoop>> loop = EventLoop::create();
  if (!loop) return loop.error();
  loop_ = loop.take();
  (void)ask_for_short_slices();  // who watches others must get to it
  executable_ = executable_of("self");
  if (!executable_) return system_error("/proc/self/exe");
  for (const int ignored : {SIGPIPE, SIGXFSZ}) ::signal(ignored, SIG_IGN);
  // Gateways outlive the switch process that started them.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t handled;
  ::sigemptyset(&handled);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD}) {
    ::sigaddset(&handled, number);
  }
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  ::signal(SIGINT, SIG_DFL);  // by which a terminal's shell shall see us end
  signals_.reset(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return system_error("signalfd");
  Result<EventLoop::Watch> watch =
      loop_->watch(signals_.get(), EPOLLIN, [this](std::uint32_t) { on_signal(); });
  if (!watch) return watch.error();
  signal_watch_ = watch.take();
  return {};
}

// What a keeper before us had left with the service manager: "state", and
// "held.NUMBER.SINCE.FLAGS".
void Keeper::take_stored() {
  for (ServiceManager::Stored& stored : manager_.take_stored()) {
    const std::string_view name = stored.name;
    if (name == kStateName) {
      state_ = std::move(stored.descriptor);
      continue;
    }
    std::array<std::int64_t, 3> numbers{};
    std::string_view rest = name.substr(0, name.find('.'));
    if (rest != kHeldName) {
      given_.push_back(std::move(stored.descriptor));
      continue;
    }
    rest = name.substr(rest.size());
    bool readable = true;
    for (std::int64_t& number : numbers) {
      rest.remove_prefix(std::min<std::size_t>(1, rest.size()));
      const std::size_t end = std::min(rest.find('.'), rest.size());
      const std::optional<std::int64_t> value = parse_integer(rest.substr(0, end));
      readable = readable && value.has_value();
      number = value.value_or(0);
      rest.remove_prefix(end);
    }
    if (!readable || numbers[0] < 0 || numbers[0] > kNumberMax) continue;
    Held& held = held_[static_cast<int>(numbers[0])];
    held.descriptor = std::move(stored.descriptor);
    held.since = Time(numbers[1]);
    held.drain = (numbers[2] & 1) != 0;
    held.exclusive = (numbers[2] & 2) != 0;
  }
  if (state_) log_.notice("going on with {} descriptors of a keeper before", held_.size());
  // Without a state nobody knows what they are; with one, the sockets that listen are among them.
  if (!state_) held_.clear();
  if (state_) given_.clear();
}

Result<void> Keeper::start_first() {
  take_stored();
  Result<std::unique_ptr<KeeperChild>> child = start_child(path_of(executable_));
  if (!child) return child.error();
  current_ = child.take();
  begin(*current_);
  return {};
}

Result<std::unique_ptr<KeeperChild>> Keeper::start_child(const std::string& path) {
  KeeperChild::Callbacks callbacks;
  callbacks.message = [this](KeeperChild& from, KeeperLink::Received& received) {
    on_message(from, received);
  };
  callbacks.ended = [this](KeeperChild& which, int status) { on_ended(which, status); };
  return KeeperChild::start(*loop_, path, settings_.arguments, std::move(callbacks));
}

// Gives it all there is, lowest number first: so each finds its own number free.
void Keeper::give_held(KeeperChild& child) {
  for (auto& [number, held] : held_) {
    if (&child == candidate_.get() && std::exchange(held.candidate_has, true)) continue;
    KeeperMessage message{.kind = Kind::give, .number = number, .since = held.since};
    message.drain = held.drain;
    message.exclusive = held.exclusive;
    child.send(std::move(message), held.descriptor.get());
  }
}

void Keeper::begin(KeeperChild& child) {
  give_held(child);
  if (state_) child.send({.kind = Kind::state}, state_.get());
  for (const UniqueFd& one : given_) {
    child.send({.kind = Kind::give, .number = one.get()}, one.get());
  }
  child.send({.kind = Kind::go});
}

void Keeper::on_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD) {
      reap_orphans();
      continue;
    }
    if (number == SIGUSR2) {
      upgrade();
      continue;
    }
    end_wanted_ = end_wanted_ || number != SIGHUP;
    if (end_wanted_) manager_.stopping();
    if (current_ != nullptr) current_->signal(number);
    if (current_ == nullptr && end_wanted_) loop_->stop();
  }
}

// What the switch process had started and we have inherited. Our own children are waited for by who
// watches them.
void Keeper::reap_orphans() {
  const auto is_own = [this](pid_t pid) {
    for (const auto* child : {&current_, &leaving_, &standby_, &outdated_, &candidate_}) {
      if (*child != nullptr && (*child)->pid() == pid) return true;
    }
    return std::any_of(buried_.begin(), buried_.end(),
                       [pid](const auto& child) { return child->pid() == pid; });
  };
  siginfo_t ended{};
  constexpr int kLook = WEXITED | WNOHANG | WNOWAIT;
  while (::waitid(P_ALL, 0, &ended, kLook) == 0 && ended.si_pid != 0 && !is_own(ended.si_pid)) {
    ::waitpid(ended.si_pid, nullptr, WNOHANG);
    ended = {};
  }
}

// ---- what the switch process says ----

void Keeper::on_message(KeeperChild& from, KeeperLink::Received& received) {
  const KeeperMessage& message = received.message;
  if (&from == candidate_.get()) return on_candidate(message);
  if (&from != current_.get()) return;
  switch (message.kind) {
    case Kind::hold:
    case Kind::release:
    case Kind::state: on_store(received); break;
    case Kind::alive: heard(message.value); break;
    case Kind::ready: on_ready(from, message); break;
    case Kind::ending: from.ending = true; break;
    case Kind::upgrade: upgrade(); break;
    case Kind::sync: from.send({.kind = Kind::synced}); break;
    case Kind::sealed:
      if (stage_ != Stage::sealing) break;
      begin(*candidate_);
      set_stage(Stage::taking_over, kTakeOverPatience, "it has not taken over in time");
      break;
    default: break;
  }
}

void Keeper::on_store(KeeperLink::Received& received) {
  const KeeperMessage& message = received.message;
  if (message.kind == Kind::release) {
    let_go(message.number);
  } else if (!received.descriptor) {
    log_.warning("the switch process has sent no descriptor where one belongs");
  } else if (message.kind == Kind::state) {
    state_ = std::move(received.descriptor);
    manager_.forget(kStateName);
    manager_.store(kStateName, state_.get());
  } else if (message.number >= 0) {
    let_go(message.number);
    Held& held = held_[message.number];
    held.descriptor = std::move(received.descriptor);
    held.since = message.since;
    held.drain = message.drain;
    held.exclusive = message.exclusive;
    manager_.store(name_of(message.number, held.since, held.drain, held.exclusive),
                   held.descriptor.get());
  }
  tell_manager();
}

// What it had no room for.
void Keeper::tell_manager() {
  unsaid_timer_.reset();
  if (!manager_.flush()) {
    unsaid_timer_ = loop_->after(kUnsaidPause, [this] { tell_manager(); });
  }
}

void Keeper::let_go(int number) {
  const auto found = held_.find(number);
  if (found == held_.end()) return;
  const Held& held = found->second;
  manager_.forget(name_of(number, held.since, held.drain, held.exclusive));
  held_.erase(found);
}

void Keeper::on_ready(KeeperChild& child, const KeeperMessage& message) {
  child.ready = true;
  child.version = printable(message.text);
  if (!served_ && settings_.background != nullptr) {
    log_.use_syslog();
    settings_.background->ready();
  }
  if (served_) {
    log_.notice("the switch process is back (pid {}), {} ms after its predecessor's end",
                child.pid(), milliseconds(monotonic_now() - silent_since_));
  }
  if (!served_) {
    manager_.ready();
    if (const Duration period = manager_.watchdog_period(); period != Duration{0}) {
      manager_timer_ = loop_->every(period, [this] { manager_.alive(); });
    }
  }
  served_ = true;
  given_.clear();
  watch_.begin(loop_->now());
  stop_draining();
  watch_silence();
  prepare_standby();
}

void Keeper::on_ended(KeeperChild& which, int status) {
  if (&which == leaving_.get()) {
    if (status != 0) log_.warning("the old process (pid {}) {}", which.pid(), how_it_ended(status));
    return bury(std::move(leaving_));
  }
  if (&which == standby_.get()) return bury(std::move(standby_));
  if (&which == outdated_.get()) return bury(std::move(outdated_));
  if (&which == candidate_.get()) {
    return refuse_upgrade(fmt::format("the new process {}", how_it_ended(status)));
  }
  if (&which != current_.get()) return;
  bury(std::move(current_));
  if (stage_ == Stage::taking_over) return;  // the new one has all it needs
  if (which.ending || end_wanted_ || !served_) return finish(which, status);
  crashed(which, status);
}

void Keeper::bury(std::unique_ptr<KeeperChild> child) {
  buried_.push_back(std::move(child));
  bury_timer_ = loop_->after(Duration{0}, [this] {
    buried_.clear();
    reap_orphans();
  });
}

void Keeper::finish(const KeeperChild& last, int status) {
  if (WIFSIGNALED(status) && !served_ && !last.ending) {
    log_.error("the switch process (pid {}) {} before it served anybody", last.pid(),
               how_it_ended(status));
  }
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : kExitAbnormal;
  if (WIFSIGNALED(status) && last.ending) fatal_signal_ = WTERMSIG(status);
  loop_->stop();
}

// ---- after a crash ----

void Keeper::crashed(const KeeperChild& last, int status) {
  const std::string how = how_it_ended(status);
  if (stage_ != Stage::none) refuse_upgrade("the old process ended meanwhile");
  silent_since_ = monotonic_now();
  if (watch_.crash(silent_since_)) return give_up(how);
  log_.error("the switch process (pid {}) {}; another goes on with its clients", last.pid(), how);
  restart();
}

void Keeper::restart() {
  restart_timer_.reset();
  watch_.begin(monotonic_now());
  Result<std::unique_ptr<KeeperChild>> child =
      standby_ != nullptr ? std::move(standby_) : start_child(path_of(executable_));
  if (!child) {
    log_.error("{}", child.error().text);
    if (watch_.crash(monotonic_now())) return give_up(child.error().text);
    restart_timer_ = loop_->after(kRestartPause, [this] { restart(); });
    return;
  }
  current_ = child.take();
  begin(*current_);
  watch_silence();
}

// The start of a program takes longer than all the rest of a crash. Neither it nor the end of the
// one before shall take a processor from who has just begun, or is about to.
void Keeper::prepare_standby() {
  if (standby_ != nullptr) outdated_ = std::move(standby_);
  standby_timer_ = loop_->after(kStandbyPause, [this] {
    if (stage_ != Stage::none) return prepare_standby();
    standby_timer_.reset();
    if (outdated_ != nullptr) bury(std::move(outdated_));
    Result<std::unique_ptr<KeeperChild>> child = start_child(path_of(executable_));
    if (child) standby_ = child.take();
  });
}

void Keeper::give_up(const std::string& how) {
  log_.error(
      "the switch process has ended {} times within {} s, the last time it {}: giving up, "
      "all clients are cut off",
      watch_.crashes(), KeeperWatch::kCrashWindow / std::chrono::seconds(1), how);
  for (auto& [number, held] : held_) {
    // One that listens ends with its last descriptor; a service manager may have another.
    if (!is_listening(held.descriptor.get())) ::shutdown(held.descriptor.get(), SHUT_RDWR);
  }
  held_.clear();
  exit_code_ = kExitCrashLoop;
  loop_->stop();
}

// ---- upgrade ----

void Keeper::upgrade() {
  if (current_ == nullptr || !current_->ready || !state_) {
    return log_.warning("no upgrade: the switch process is not ready itself");
  }
  if (stage_ != Stage::none) {
    return current_->send({.kind = Kind::resume, .text = "an upgrade is under way already"});
  }
  Result<std::unique_ptr<KeeperChild>> child = start_child(settings_.program);
  if (!child) return refuse_upgrade(child.error().text);
  candidate_ = child.take();
  for (auto& [number, held] : held_) held.candidate_has = false;
  candidate_->send({.kind = Kind::state}, state_.get());
  candidate_->send({.kind = Kind::check});
  set_stage(Stage::checking, kCheckPatience, "it has not looked at the state in time");
}

void Keeper::set_stage(Stage stage, Duration patience, std::string_view late) {
  stage_ = stage;
  stage_timer_ = loop_->after(patience, [this, why = fmt::format("{}: {}", settings_.program,
                                                                 late)] { refuse_upgrade(why); });
}

void Keeper::on_candidate(const KeeperMessage& message) {
  if (message.kind == Kind::verdict && stage_ == Stage::checking) {
    if (!message.text.empty()) return refuse_upgrade(printable(message.text));
    // While the old one still serves; what changes from now on comes at the end. By another verdict
    // it says that it has them.
    give_held(*candidate_);
    candidate_->send({.kind = Kind::check});
    return set_stage(Stage::giving, kCheckPatience, "it has not taken descriptors in time");
  }
  if (message.kind == Kind::verdict && stage_ == Stage::giving) {
    current_->send({.kind = Kind::seal});
    return set_stage(Stage::sealing, kSealPatience, "the old process has not made room in time");
  }
  if (message.kind == Kind::ready && stage_ == Stage::taking_over) {
    candidate_->ready = true;
    candidate_->version = printable(message.text);
    hand_over();
  }
}

void Keeper::hand_over() {
  stage_ = Stage::none;
  stage_timer_.reset();
  if (current_ != nullptr) {
    current_->send({.kind = Kind::leave});
    log_.notice("upgraded from {} (pid {}) to {} (pid {})", current_->version, current_->pid(),
                candidate_->version, candidate_->pid());
    leaving_ = std::move(current_);
  }
  current_ = std::move(candidate_);
  if (end_wanted_) current_->signal(SIGTERM);  // the old one has not read it
  if (UniqueFd executable = executable_of(std::to_string(current_->pid()))) {
    executable_ = std::move(executable);
  }
  watch_.begin(loop_->now());
  stop_draining();
  watch_silence();
  prepare_standby();
}

void Keeper::refuse_upgrade(std::string why) {
  log_.warning("no upgrade: {}", why);
  stage_ = Stage::none;
  stage_timer_.reset();
  if (candidate_ != nullptr) {
    candidate_->signal(SIGKILL);
    bury(std::move(candidate_));
  }
  if (current_ != nullptr) {
    watch_.begin(loop_->now());
    watch_silence();
    current_->send({.kind = Kind::resume, .text = std::move(why)});
  } else if (!loop_->stopped() && served_ && !restart_timer_) {
    // The old one died on the way.
    restart_timer_ = loop_->after(Duration{0}, [this] { restart(); });
  }
}

}  // namespace lanyard
