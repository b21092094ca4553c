// SPDX-License-Identifier: MIT
//
// Something done in a child process, because it cannot be undone: a sandbox, for one. What the work
// returns comes back, and how the child ended.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "switch/base/fd.h"
#include "switch/base/write_bytes.h"

namespace lanyard::testing {

struct ChildEnd {
  std::string said;
  int status = 0;  // as waitpid(2) has it

  bool exited() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
  int signal() const { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
};

template <typename Work>
ChildEnd in_child(Work&& work) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return {"no pipe", -1};
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    read_end.reset();
    const std::string said = std::forward<Work>(work)();
    const bool whole =
        write_bytes(write_end.get(), said.data(), said.size()) == static_cast<ssize_t>(said.size());
    // Without the destructors and buffers of the test program.
    ::_exit(whole ? 0 : 1);
  }
  write_end.reset();
  ChildEnd end;
  std::array<char, 4096> chunk{};
  for (;;) {
    const ssize_t size = ::read(read_end.get(), chunk.data(), chunk.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    end.said.append(chunk.data(), static_cast<std::size_t>(size));
  }
  while (::waitpid(child, &end.status, 0) < 0 && errno == EINTR) {
  }
  return end;
}

// Sanitizers make calls of their own, which no policy knows.
constexpr bool kSandboxCanBeTested =
#ifdef LANYARD_SANITIZED
    false;
#else
    true;
#endif

}  // namespace lanyard::testing
