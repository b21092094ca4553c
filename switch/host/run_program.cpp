// SPDX-License-Identifier: MIT
#include "switch/host/run_program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "switch/base/fd.h"

namespace lanyard {
namespace {

constexpr std::chrono::seconds kProgramPatience(5);

}  // namespace

std::optional<std::string> run_program(const std::vector<std::string>& command) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), 2);
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return std::nullopt;
  write_end.reset();

  std::string text;
  bool ended = false;
  const auto deadline = std::chrono::steady_clock::now() + kProgramPatience;
  constexpr std::size_t kOutputMax = 1 << 20;
  while (!ended && text.size() < kOutputMax) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd ready{read_end.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) <= 0) break;
    std::array<char, 4096> part;
    const ssize_t count = ::read(read_end.get(), part.data(), part.size());
    ended = count <= 0;
    if (count > 0) text.append(part.data(), static_cast<std::size_t>(count));
  }
  if (!ended) ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!ended || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) return std::nullopt;
  return text;
}

}  // namespace lanyard
