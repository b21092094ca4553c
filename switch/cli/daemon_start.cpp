// SPDX-License-Identifier: MIT
#include "switch/cli/daemon_start.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "switch/base/text.h"

extern char** environ;

namespace lanyard {
namespace {

std::string beside_this_program(const std::string& name) {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0) return {};
  const std::string_view self(path.data(), static_cast<std::size_t>(size));
  return std::string(self.substr(0, self.rfind('/') + 1)) + name;
}

}  // namespace

std::string daemon_program() {
  const std::string beside = beside_this_program("lanyardd");
  return ::access(beside.c_str(), X_OK) == 0 ? beside : "lanyardd";
}

std::optional<RpcError> start_daemon(const DaemonStart& start) {
  std::vector<std::string> words{daemon_program()};
  if (start.config_file.empty()) {
    words.emplace_back("--default-networks");
  } else {
    words.insert(words.end(), {"--config", start.config_file});
  }
  if (!start.control.empty()) words.insert(words.end(), {"--control", start.control});
  // Guests are to outlive a crash without anybody having thought of it before.
  words.insert(words.end(), {"--keeper", "--daemon"});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, arguments[0], nullptr, nullptr, arguments.data(), environ);
  if (error != 0) {
    return RpcError{error == ENOENT ? RpcCode::not_found : RpcCode::failed,
                    fmt::format("{}: {}; install it beside lanyard or in PATH", words[0],
                                std::strerror(error))};
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return RpcError{RpcCode::failed, std::strerror(errno)};
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
  return RpcError{RpcCode::failed,
                  fmt::format("{} did not start; what it said stands above", words[0])};
}

}  // namespace lanyard
