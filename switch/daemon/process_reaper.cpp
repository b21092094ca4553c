// SPDX-License-Identifier: MIT
#include "switch/daemon/process_reaper.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>

namespace lanyard {

ProcessReaper::~ProcessReaper() {
  const Time deadline = monotonic_now() + kPatience;
  for (const auto& dying : dying_) {
    dying->watch.reset();
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - monotonic_now());
    pollfd ended{dying->pidfd.get(), POLLIN, 0};
    ::poll(&ended, 1, std::max(0, static_cast<int>(left.count())));
    if ((ended.revents & POLLIN) == 0) ::kill(dying->pid, SIGKILL);
    ::waitpid(dying->pid, nullptr, 0);
  }
}

void ProcessReaper::end(pid_t pid, UniqueFd pidfd, int signal) {
  ::kill(pid, signal);
  ::kill(pid, SIGCONT);
  auto dying = std::make_unique<Dying>();
  Dying* const at = dying.get();
  at->pid = pid;
  at->pidfd = std::move(pidfd);
  Result<EventLoop::Watch> watch =
      loop_.watch(at->pidfd.get(), EPOLLIN, [this, at](std::uint32_t) { ended(*at); });
  if (watch) at->watch = watch.take();
  at->deadline = loop_.after(kPatience, [pid] { ::kill(pid, SIGKILL); });
  dying_.push_back(std::move(dying));
}

void ProcessReaper::ended(const Dying& dying) {
  if (::waitpid(dying.pid, nullptr, WNOHANG) != dying.pid) return;
  std::erase_if(dying_, [&](const auto& kept) { return kept.get() == &dying; });
}

}  // namespace lanyard
