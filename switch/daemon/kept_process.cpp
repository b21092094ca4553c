// SPDX-License-Identifier: MIT
#include "switch/daemon/kept_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

#include "switch/base/poll_one.h"
#include "switch/base/text.h"
#include "switch/base/version.h"

namespace lanyard {
namespace {

using Kind = KeeperMessage::Kind;

constexpr Duration kRetryPause = std::chrono::milliseconds(10);
// How long the keeper may take to let go of a device that is to be opened again.
constexpr Duration kReleasePatience = std::chrono::milliseconds(100);
constexpr Duration kLeavePause = std::chrono::milliseconds(20);
constexpr Duration kSealPause = std::chrono::milliseconds(1);
// What guests' traffic changes (learned bindings, sticky addresses) has no other occasion.
constexpr Duration kLookPeriod = std::chrono::seconds(1);
// Above all numbers that descriptors of services have, unless the limit is small.
constexpr rlim_t kLinkNumberMost = 1 << 16;

// Out of the way of the numbers that a predecessor's descriptors had.
UniqueFd move_up(UniqueFd fd) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int wanted = static_cast<int>(std::min(limit.rlim_max, kLinkNumberMost)) - 1;
  rlimit raised = limit;
  raised.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &raised);
  UniqueFd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, wanted));
  return high ? std::move(high) : std::move(fd);
}

bool wait_for(int fd, std::optional<Duration> patience) {
  return poll_one(fd, POLLIN, patience) != 0;
}

// Parts whose descriptors have not come along cannot go on.
void drop_incomplete(std::vector<HandoverPart>& parts) {
  std::erase_if(parts, [](const HandoverPart& part) {
    return std::any_of(part.descriptors.begin(), part.descriptors.end(),
                       [](const HeldDescriptor& held) { return held.number < 0; });
  });
  for (HandoverPart& part : parts) drop_incomplete(part.parts);
}

}  // namespace

KeptProcess KeptProcess::from_environment() {
  KeptProcess kept;
  const char* const text = ::getenv(kLinkVariable);
  const std::optional<std::int64_t> number = parse_integer(text != nullptr ? text : "");
  ::unsetenv(kLinkVariable);
  if (!number || *number < 0 || ::fcntl(static_cast<int>(*number), F_GETFD) < 0) return kept;
  kept.link_ = KeeperLink(move_up(UniqueFd(static_cast<int>(*number))));
  kept.keeper_ = ::getppid();
  return kept;
}

// ---- the beginning ----

Result<std::optional<HandoverState>> KeptProcess::begin(const std::function<void()>& prepare) {
  if (!kept()) return std::optional<HandoverState>();
  bool is_prepared = !prepare;
  const auto prepare_once = [&] {
    if (!std::exchange(is_prepared, true)) prepare();
  };
  for (;;) {
    if (!wait_for(link_.fd(), Duration{0})) {
      prepare_once();
      wait_for(link_.fd(), std::nullopt);
    }
    Result<std::optional<KeeperLink::Received>> received = link_.receive();
    if (!received) return received.error();
    if (!received.value()) continue;
    KeeperLink::Received& one = *received.value();
    switch (one.message.kind) {
      case Kind::give: place(std::move(one)); break;
      case Kind::state: {
        Result<std::string> bytes = read_sealed(one.descriptor.get());
        if (!bytes) return bytes.error();
        state_bytes_ = bytes.take();
        break;
      }
      case Kind::check: {
        prepare_once();
        KeeperMessage verdict{.kind = Kind::verdict};
        const Result<HandoverState> state = decode_handover(state_bytes_);
        if (!state) verdict.text = state.error().text;
        send(verdict);
        break;
      }
      case Kind::go: return assemble();
      default: break;
    }
  }
}

// Descriptors come with ascending numbers, so each finds its own free, unless it belongs to
// something that this process was born with. One that has come before is another now.
void KeptProcess::place(KeeperLink::Received received) {
  const int wanted = received.message.number;
  const int came = received.descriptor.get();
  if (wanted < 0 || came < 0) return;
  if (const auto before = numbers_.find(wanted); before != numbers_.end()) {
    ::close(before->second);
    numbers_.erase(before);
  }
  int has = came;
  if (wanted != came && ::fcntl(wanted, F_GETFD) < 0 && ::dup3(came, wanted, O_CLOEXEC) == wanted) {
    has = wanted;
  } else {
    has = received.descriptor.release();
  }
  numbers_[wanted] = has;
  held_[wanted] = {wanted, received.message.since, received.message.drain,
                   received.message.exclusive};
}

Result<std::optional<HandoverState>> KeptProcess::assemble() {
  if (state_bytes_.empty()) {
    for (const auto& [wanted, number] : std::exchange(numbers_, {})) given_.emplace_back(number);
    held_.clear();
    return std::optional<HandoverState>();
  }
  Result<HandoverState> state = decode_handover(state_bytes_);
  if (!state) return state.error();
  std::set<int> used;
  std::map<int, HeldDescriptor> held;
  for_each_descriptor(state.value(), [&](HeldDescriptor& one) {
    const auto found = held_.find(one.number);
    if (found == held_.end() || found->second.since != one.since) {
      one.number = -1;
      return;
    }
    one.number = numbers_[one.number];
    used.insert(one.number);
    // A number that changed is held under the new one from the first state on.
    if (one.number == found->first) held[one.number] = one;
  });
  for (const auto& [wanted, number] : numbers_) {
    if (!used.contains(number)) ::close(number);
    if (!held.contains(wanted)) send({.kind = Kind::release, .number = wanted});
  }
  held_ = std::move(held);
  numbers_.clear();
  drop_incomplete(state.value().parts);
  for (SwitchRecord& one : state.value().switches) drop_incomplete(one.parts);
  return std::optional<HandoverState>(state.take());
}

// ---- what is told ----

Result<void> KeptProcess::attach(EventLoop& loop, Log& log, Callbacks callbacks) {
  if (!kept()) return {};
  loop_ = &loop;
  log_ = &log;
  callbacks_ = std::move(callbacks);
  Result<EventLoop::Watch> watch =
      loop.watch(link_.fd(), EPOLLIN, [this](std::uint32_t) { on_link(); });
  if (!watch) return watch.error();
  watch_ = watch.take();
  keep_spare();
  return {};
}

void KeptProcess::ready() {
  if (!kept()) return;
  serving_ = true;
  alive_timer_ = loop_->prepare([this] { say_alive(); });
  commit();
  send({.kind = Kind::ready, .text = LANYARD_VERSION});
  look_timer_ = loop_->every(kLookPeriod, [this] { commit(); });
  say_alive();
}

void KeptProcess::changed() {
  if (!kept() || !serving_ || round_timer_) return;
  round_timer_ = loop_->after(Duration{0}, [this] { commit(); });
}

void KeptProcess::commit() {
  if (!kept() || !serving_) return;
  round_timer_.reset();
  retry_timer_.reset();
  if (!tell(callbacks_.state(HandoverReason::commit)) && kept()) {
    retry_timer_ = loop_->after(kRetryPause, [this] { commit(); });
  }
}

// False when it has to be tried again.
bool KeptProcess::tell(const HandoverState& state) {
  std::string bytes = encode_handover(state);
  if (bytes != state_bytes_ && !tell_change(state, std::move(bytes))) return false;
  // Also of a successor that goes on with what it was given.
  const bool drains =
      std::any_of(held_.begin(), held_.end(), [](const auto& one) { return one.second.drain; });
  set_alive_period(drains ? kAlivePeriod : kAlivePeriodIdle);
  return true;
}

bool KeptProcess::tell_change(const HandoverState& state, std::string bytes) {
  std::map<int, HeldDescriptor> wanted;
  for (const HeldDescriptor& one : descriptors_of(state)) wanted[one.number] = one;
  for (const auto& [number, one] : wanted) {
    const auto found = held_.find(number);
    if (found != held_.end() && found->second == one) continue;
    KeeperMessage message{.kind = Kind::hold, .number = number, .since = one.since};
    message.drain = one.drain;
    message.exclusive = one.exclusive;
    if (!send(message, number)) return false;
    held_[number] = one;
  }
  if (!tell_state(bytes)) return false;
  for (auto at = held_.begin(); at != held_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    if (!send({.kind = Kind::release, .number = at->first})) return false;
    exclusive_let_go_ = exclusive_let_go_ || at->second.exclusive;
    at = held_.erase(at);
  }
  state_bytes_ = std::move(bytes);
  return true;
}

// Its file takes a place that is kept free for it: there may be no other.
bool KeptProcess::tell_state(std::string_view bytes) {
  spare_.reset();
  bool told = false;
  if (const Result<UniqueFd> file = seal_bytes(bytes); file) {
    told = send({.kind = Kind::state}, file.value().get());
  }
  keep_spare();
  return told;
}

void KeptProcess::keep_spare() {
  if (kept()) spare_ = UniqueFd(::fcntl(link_.fd(), F_DUPFD_CLOEXEC, 0));
}

bool KeptProcess::send(const KeeperMessage& message, int descriptor) {
  const KeeperLink::Sent sent = link_.send(message, descriptor);
  if (sent == KeeperLink::Sent::gone) lost();
  return sent == KeeperLink::Sent::done;
}

void KeptProcess::set_alive_period(Duration period) {
  if (alive_period_ == period) return;
  alive_period_ = period;
  say_alive();
}

void KeptProcess::say_alive() {
  if (!kept() || !serving_) return;
  // Needs no memory, nor does the message: who is not heard is thought to hang.
  alive_timer_.hurry(alive_period_);
  using std::chrono::milliseconds;
  const auto period = std::chrono::duration_cast<milliseconds>(alive_period_).count();
  send({.kind = Kind::alive, .value = static_cast<std::uint32_t>(period)});
}

void KeptProcess::settle_exclusive() {
  commit();
  if (!kept() || !std::exchange(exclusive_let_go_, false) || !send({.kind = Kind::sync})) return;
  while (std::optional<KeeperMessage> message = wait_for_message(kReleasePatience)) {
    if (message->kind == Kind::synced) return;
    waiting_.push_back(std::move(*message));
    round_timer_ = loop_->after(Duration{0}, [this] { on_link(); });
  }
}

void KeptProcess::ending() {
  if (kept()) send({.kind = Kind::ending});
}

void KeptProcess::detach() {
  serving_ = false;
  loop_ = nullptr;
  watch_.reset();
  round_timer_.reset();
  retry_timer_.reset();
  alive_timer_.reset();
  look_timer_.reset();
}

void KeptProcess::upgrade(Upgraded done) {
  if (!kept()) {
    return done(Error{ENOTSUP,
                      "there is no keeper that could start a successor; the daemon must "
                      "be started with --keeper"});
  }
  if (upgraded_.empty() && !send({.kind = Kind::upgrade})) {
    return done(Error{EAGAIN, "the keeper does not listen"});
  }
  upgraded_.push_back(std::move(done));
}

void KeptProcess::tell_upgraded(const Result<void>& outcome) {
  for (const Upgraded& done : std::exchange(upgraded_, {})) done(outcome);
}

// ---- what the keeper says ----

void KeptProcess::on_link() {
  while (!waiting_.empty()) {
    const KeeperMessage message = std::move(waiting_.front());
    waiting_.pop_front();
    on_message(message);
  }
  while (kept()) {
    const Result<std::optional<KeeperLink::Received>> received = link_.receive();
    if (!received) return lost();
    if (!received.value()) return;
    on_message(received.value()->message);
  }
}

void KeptProcess::on_message(const KeeperMessage& message) {
  if (message.kind == Kind::seal) seal();
  if (message.kind != Kind::resume) return;
  // The keeper counts anew from when it said so.
  say_alive();
  tell_upgraded(Error{ECANCELED, printable(message.text)});
}

// The next message; nullopt when none comes, or none ever will.
std::optional<KeeperMessage> KeptProcess::wait_for_message(std::optional<Duration> patience) {
  while (kept()) {
    if (!wait_for(link_.fd(), patience)) return std::nullopt;
    Result<std::optional<KeeperLink::Received>> received = link_.receive();
    if (!received) {
      lost();
    } else if (received.value()) {
      return std::move(received.value()->message);
    }
  }
  return std::nullopt;
}

// Between two turns, so no frame is under way inside. From here until the keeper's word nothing is
// read: what comes waits in the sockets, for the successor or for us.
void KeptProcess::seal() {
  const HandoverState state = callbacks_.state(HandoverReason::upgrade);
  bool told = false;
  bool sealed = false;
  while (kept()) {
    if (!told) told = tell(state);
    if (told && !sealed) sealed = send({.kind = Kind::sealed});
    // What could not be said is tried again until the keeper loses its patience.
    const std::optional<KeeperMessage> message =
        wait_for_message(sealed ? std::nullopt : std::optional(kSealPause));
    if (message && message->kind == Kind::leave) {
      tell_upgraded({});
      // Its end takes the kernel milliseconds, on the processor that the successor has just begun
      // to use for what has waited meanwhile.
      poll_one(link_.fd(), 0, kLeavePause);
      // Without destructors: files and sockets are the successor's now.
      ::_exit(0);
    }
    if (message && message->kind == Kind::resume) {
      on_message(*message);
      if (callbacks_.resumed) callbacks_.resumed();
      return changed();
    }
  }
}

// The keeper's end does not end us; only nobody would start a successor.
void KeptProcess::lost() {
  detach();
  link_.close();
  spare_.reset();
  tell_upgraded(Error{ECANCELED, "the keeper is gone"});
  if (log_ != nullptr) {
    log_->error("the keeper (pid {}) is gone: a crash would take every client down from now on",
                keeper_);
  }
}

}  // namespace lanyard
