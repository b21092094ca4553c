// SPDX-License-Identifier: MIT
//
// Something done in a child process that is killed before one of its system calls, whichever a test
// wants: what it has left behind is what a crash at that moment leaves. The kernel counts the calls
// (ptrace(2)), so none is forgotten, whoever makes it.
#pragma once

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace lanyard::testing {

namespace killed_child {

// The child's next stop, or its end.
inline int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace killed_child

// Does the work in a child that is killed before its call number `calls`, the first being 0. False:
// it has not so many, and has done all of it.
template <typename Work>
bool dies_before_call(int calls, Work&& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    std::forward<Work>(work)();
    // Without the destructors and buffers of the test program.
    ::_exit(0);
  }
  if (!WIFSTOPPED(killed_child::wait_for(child))) return false;
  // It stops before each call and after it; the first is the end of that which stopped it.
  for (int stops = 0; stops < 2 * calls + 1; ++stops) {
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    if (!WIFSTOPPED(killed_child::wait_for(child))) return false;
  }
  ::kill(child, SIGKILL);
  killed_child::wait_for(child);
  return true;
}

}  // namespace lanyard::testing
