// SPDX-License-Identifier: MIT
#include "switch/runtime/event_loop.h"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr int kUnsetPause_ms = 10;

}  // namespace

EventLoop::Watch& EventLoop::Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    reset();
    loop_ = std::exchange(other.loop_, nullptr);
    slot_ = other.slot_;
  }
  return *this;
}

void EventLoop::Watch::reset() {
  if (loop_ != nullptr) std::exchange(loop_, nullptr)->remove(slot_);
}

void EventLoop::Watch::set_events(std::uint32_t epoll_events) {
  if (loop_ == nullptr) return;
  Slot& slot = *loop_->slots_[slot_];
  if (slot.events == epoll_events) return;
  slot.events = epoll_events;
  if (slot.always_ready || loop_->tell_kernel(slot_)) return;
  slot.unset = true;
  loop_->unset_ = true;
}

// A registered descriptor cannot be modified only for lack of kernel memory.
bool EventLoop::tell_kernel(std::uint32_t index) {
  const Slot& slot = *slots_[index];
  epoll_event event{};
  event.events = slot.events;
  event.data.u64 = tag(index, slot.generation);
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, slot.fd, &event) == 0;
}

// Tries again: a listener that is not listened to would be lost for good.
void EventLoop::set_unset() {
  unset_ = false;
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = *slots_[index];
    slot.unset = slot.unset && slot.live && !tell_kernel(index);
    unset_ = unset_ || slot.unset;
  }
}

EventLoop::Timer& EventLoop::Timer::operator=(Timer&& other) noexcept {
  if (this != &other) {
    reset();
    loop_ = std::exchange(other.loop_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

void EventLoop::Timer::reset() {
  if (loop_ == nullptr) return;
  const auto at = loop_->alarm_times_.find(id_);
  if (at != loop_->alarm_times_.end()) {
    loop_->alarms_.erase({at->second, id_});
    loop_->alarm_times_.erase(at);
  }
  loop_ = nullptr;
}

void EventLoop::Timer::hurry(Duration delay) {
  if (loop_ == nullptr) return;
  const auto at = loop_->alarm_times_.find(id_);
  if (at == loop_->alarm_times_.end()) return;
  auto node = loop_->alarms_.extract({at->second, id_});
  // Not in this round, which may be its own: descriptors come between.
  at->second = loop_->now_ + std::max(delay, Duration{1});
  node.key() = {at->second, id_};
  loop_->alarms_.insert(std::move(node));
}

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return Error{errno, fmt::format("epoll_create1: {}", std::strerror(errno))};
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return Error{errno, fmt::format("timerfd_create: {}", std::strerror(errno))};
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kTimerTag;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, timer.get(), &event) != 0) {
    return Error{errno, fmt::format("epoll_ctl: {}", std::strerror(errno))};
  }
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll), std::move(timer)));
}

Result<EventLoop::Watch> EventLoop::watch(int fd, std::uint32_t epoll_events, Ready ready) {
  if (free_slots_.empty()) add_slot();
  const std::uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = *slots_[index];
  slot.fd = fd;
  slot.events = epoll_events;
  slot.live = true;
  slot.always_ready = false;
  slot.unset = false;
  slot.ready = std::move(ready);
  epoll_event event{};
  event.events = epoll_events;
  event.data.u64 = tag(index, slot.generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    if (errno != EPERM) {
      const int code = errno;
      slot.live = false;
      slot.ready = nullptr;
      free_slots_.push_back(index);
      return Error{code, fmt::format("epoll_ctl: {}", std::strerror(code))};
    }
    slot.always_ready = true;
    ++always_ready_;
  }
  Watch watch;
  watch.loop_ = this;
  watch.slot_ = index;
  return watch;
}

// All that a slot will ever need on its way out is there from the beginning: an end must not fail.
void EventLoop::add_slot() {
  const std::size_t count = slots_.size() + 1;
  for (auto* list : {&free_slots_, &removed_, &sweeping_}) {
    if (list->capacity() < count) list->reserve(2 * count);
  }
  slots_.push_back(std::make_unique<Slot>());
  free_slots_.push_back(static_cast<std::uint32_t>(count - 1));
}

EventLoop::Timer EventLoop::after(Duration delay, Expired expired) {
  return arm(delay, {Duration{0}, std::move(expired)});
}

EventLoop::Timer EventLoop::exactly_after(Duration delay, Expired expired) {
  return arm(delay, {Duration{0}, std::move(expired), true});
}

EventLoop::Timer EventLoop::every(Duration period, Expired expired) {
  return arm(period, {period, std::move(expired)});
}

EventLoop::Timer EventLoop::arm(Duration delay, Alarm alarm) {
  Timer timer;
  timer.loop_ = this;
  timer.id_ = next_alarm_++;
  const Time due = now_ + delay;
  alarm_times_[timer.id_] = due;
  alarms_[{due, timer.id_}] = std::move(alarm);
  return timer;
}

bool EventLoop::has_due_slot() const {
  return always_ready_ != 0 &&
         std::any_of(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->due(); });
}

// Sets the timer to the nearest deadline, unless it is set to that already. A deadline in the past
// makes it readable at once.
void EventLoop::set_deadline() {
  Time nearest{0};
  if (!alarms_.empty()) {
    const auto& [key, alarm] = *alarms_.begin();
    const Time due = key.first;
    deadline_leads_ = alarm.exact && due - lead_.lead() > now_;
    nearest = std::max(deadline_leads_ ? due - lead_.lead() : due, Time{1});
  }
  if (nearest == deadline_) return;
  deadline_ = nearest;
  itimerspec when{};
  when.it_value.tv_sec = nearest.count() / 1'000'000'000;
  when.it_value.tv_nsec = nearest.count() % 1'000'000'000;
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

int EventLoop::fetch(int timeout_ms) {
  // epoll_wait(2) is not on every machine, and one of the two is enough for a list of allowed
  // calls.
  const auto wait_for = [this](int time_ms) {
    return ::epoll_pwait(epoll_.get(), fetched_.data(), static_cast<int>(fetched_.size()), time_ms,
                         nullptr);
  };
  int count = wait_for(timeout_ms);
  // Who was stopped (SIGSTOP) is told of that, and of nothing else; what others have said meanwhile
  // comes before the deadlines that have passed meanwhile.
  if (count < 0 && errno == EINTR) count = wait_for(0);
  now_ = monotonic_now();
  return count;
}

int EventLoop::wait(bool poll_only) {
  busy_poll_.carried(std::exchange(mtu_frames_carried_, 0));
  const std::size_t frames = std::exchange(frames_carried_, 0);
  const Duration pause = moderation_ ? moderation_->round(now_, frames) : Duration{0};
  const Time begin = monotonic_now();
  if (std::exchange(turned_, true)) turn_times_.add(begin - now_);
  if (poll_only) return fetch(0);
  if (!alarms_.empty() && alarms_.begin()->second.exact) {
    const Time due = alarms_.begin()->first.first;
    if (due - begin <= lead_.lead() + pause) return look_until(due);
  }
  if (pause != Duration{0}) {
    sleep(pause);
    return fetch(0);
  }
  if (unset_) return fetch(kUnsetPause_ms);
  if (!busy_poll_.enabled()) return fetch(-1);
  const int count = look_then_sleep(begin);
  busy_poll_.waited(now_ - begin);
  return count;
}

void EventLoop::moderate_wake_ups() {
  // What the kernel may add to a sleep of this thread, 50 us if nobody asks: half of the pause.
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  moderation_.emplace();
}

// By a call that is allowed anyway (sandbox.h), and that the kernel itself goes on with after a
// stop.
void EventLoop::sleep(Duration duration) {
  timespec time{};
  time.tv_nsec = duration.count();
  ::ppoll(nullptr, 0, &time, nullptr);
}

int EventLoop::look_then_sleep(Time begin) {
  const Duration look = busy_poll_.look();
  if (look == Duration{0}) return fetch(-1);
  do {
    if (const int count = fetch(0); count != 0) return count;
    ::sched_yield();
  } while (now_ - begin < look);
  return fetch(-1);
}

int EventLoop::look_until(Time due) {
  do {
    if (const int count = fetch(0); count != 0) return count;
  } while (now_ < due);
  return 0;
}

void EventLoop::run_once(bool poll_only) {
  if (unset_) set_unset();
  set_deadline();
  const int count = wait(poll_only || has_due_slot());
  if (count > 0) dispatch(fetched_, static_cast<std::size_t>(count));
  if (always_ready_ != 0) {
    // By index: callbacks may add slots.
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = *slots_[i];
      if (slot.due()) run([&] { slot.ready(slot.events & (EPOLLIN | EPOLLOUT)); });
    }
  }
  expire();
  sweep();
}

void EventLoop::dispatch(const std::vector<epoll_event>& events, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (events[i].data.u64 == kTimerTag) {
      if (deadline_leads_) lead_.woken(now_ - deadline_);
      // Setting it anew takes the readiness away; expire() does what is due.
      deadline_ = Time{-1};
      continue;
    }
    const auto index = static_cast<std::uint32_t>(events[i].data.u64);
    const auto generation = static_cast<std::uint32_t>(events[i].data.u64 >> 32);
    Slot& slot = *slots_[index];
    if (slot.live && slot.generation == generation) run([&] { slot.ready(events[i].events); });
  }
}

void EventLoop::expire() {
  // A timer made in this round waits for the next one, so that one which makes another of itself
  // lets descriptors between. It is due now at the earliest, hence behind all that were there.
  const std::uint64_t first_new = next_alarm_;
  while (!alarms_.empty() && alarms_.begin()->first.first <= now_) {
    const auto [due, id] = alarms_.begin()->first;
    if (id >= first_new) return;
    auto node = alarms_.extract(alarms_.begin());
    Expired expired = std::move(node.mapped().expired);
    if (node.mapped().period.count() == 0) {
      alarm_times_.erase(id);
      run(expired);
      continue;
    }
    // A period that was missed while the machine slept is not made up for.
    const Time next = std::max(due + node.mapped().period, now_ + Duration{1});
    alarm_times_.at(id) = next;
    node.key() = {next, id};
    alarms_.insert(std::move(node));
    run(expired);
    // Unless it has ended itself.
    const auto again = alarm_times_.find(id);
    if (again != alarm_times_.end()) {
      alarms_.at({again->second, id}).expired = std::move(expired);
    }
  }
}

void EventLoop::remove(std::uint32_t index) {
  Slot& slot = *slots_[index];
  if (slot.always_ready) {
    --always_ready_;
  } else {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, slot.fd, nullptr);
  }
  slot.live = false;
  slot.always_ready = false;
  removed_.push_back(index);
}

// The callbacks of removed slots end here, where none of them can be running.
void EventLoop::sweep() {
  // Their ends may remove others.
  sweeping_.swap(removed_);
  for (const std::uint32_t index : sweeping_) {
    Slot& slot = *slots_[index];
    ++slot.generation;
    slot.ready = nullptr;
    free_slots_.push_back(index);
  }
  sweeping_.clear();
}

}  // namespace lanyard
