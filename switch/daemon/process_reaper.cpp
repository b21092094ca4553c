// SPDX-License-Identifier: MIT
#include "switch/daemon/process_reaper.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "switch/base/poll_one.h"

namespace lanyard {

void send_signal(const UniqueFd& pidfd, int signal) {
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0U);
}

// True when it is over; a predecessor's child is waited for by the keeper.
bool ProcessReaper::wait(const Dying& dying, int options) {
  return ::waitpid(dying.pid, nullptr, options) == dying.pid || errno == ECHILD;
}

ProcessReaper::~ProcessReaper() {
  const Time deadline = monotonic_now() + kPatience;
  for (const auto& dying : dying_) {
    dying->watch.reset();
    const short ended = poll_one(dying->pidfd.get(), POLLIN, deadline - monotonic_now());
    if ((ended & POLLIN) == 0) send_signal(dying->pidfd, SIGKILL);
    wait(*dying, 0);
  }
}

void ProcessReaper::end(pid_t pid, UniqueFd&& pidfd, int signal) {
  send_signal(pidfd, signal);
  send_signal(pidfd, SIGCONT);
  auto dying = std::make_unique<Dying>();
  Dying* const at = dying.get();
  at->pid = pid;
  Result<EventLoop::Watch> watch =
      loop_.watch(pidfd.get(), EPOLLIN, [this, at](std::uint32_t) { ended(*at); });
  if (watch) at->watch = watch.take();
  at->deadline = loop_.after(kPatience, [at] { send_signal(at->pidfd, SIGKILL); });
  dying_.push_back(std::move(dying));
  at->pidfd = std::move(pidfd);
}

void ProcessReaper::ended(const Dying& dying) {
  if (!wait(dying, WNOHANG)) return;
  std::erase_if(dying_, [&](const auto& kept) { return kept.get() == &dying; });
}

}  // namespace lanyard
