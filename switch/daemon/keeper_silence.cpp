// SPDX-License-Identifier: MIT
//
// What the keeper does while the switch process says nothing: first its clients' frames are thrown
// away, then it is ended.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "switch/daemon/keeper.h"

namespace lanyard {
namespace {

constexpr int kDrainedPerRound = 1024;

}  // namespace

void Keeper::heard(std::uint32_t period_ms) {
  if (!served_) return;
  const bool sooner = watch_.hear(monotonic_now(), std::chrono::milliseconds(period_ms));
  if (draining_) stop_draining();
  if (sooner || !silence_timer_) watch_silence();
}

void Keeper::watch_silence() {
  const Time now = monotonic_now();
  switch (watch_.need(now)) {
    case KeeperWatch::Need::nothing: break;
    case KeeperWatch::Need::drain: start_draining(); break;
    case KeeperWatch::Need::kill:
      silence_timer_.reset();
      if (current_ == nullptr) return;
      log_.error("the switch process (pid {}) has been silent for {} s: ending it", current_->pid(),
                 KeeperWatch::kKillAfter / std::chrono::seconds(1));
      current_->signal(SIGKILL);
      return;
  }
  silence_timer_ = loop_->after(watch_.next(now) - loop_->now(), [this] { watch_silence(); });
}

void Keeper::start_draining() {
  if (draining_) return;
  draining_ = true;
  drained_frames_ = 0;
  for (auto& [number, held] : held_) {
    if (!held.drain) continue;
    const int fd = held.descriptor.get();
    Result<EventLoop::Watch> watch =
        loop_->watch(fd, EPOLLIN, [this, fd](std::uint32_t) { drain(fd); });
    if (watch) held.drained = watch.take();
  }
  log_.warning(
      "the switch process is silent: its clients' frames are thrown away until it is back");
}

void Keeper::stop_draining() {
  if (!draining_) return;
  draining_ = false;
  for (auto& [number, held] : held_) held.drained.reset();
  log_.notice("the switch process is heard again; {} frames were thrown away", drained_frames_);
}

// Nothing of a frame comes into this process.
void Keeper::drain(int fd) {
  for (int i = 0; i < kDrainedPerRound; ++i) {
    if (::recv(fd, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC) < 0) return;
    ++drained_frames_;
  }
}

}  // namespace lanyard
