// SPDX-License-Identifier: MIT
//
// What makes a process a daemon: going to the background only once everything is ready, with the
// exit code the caller deserves, and the pid file. Called before any thread exists.
#pragma once

#include <sys/types.h>

#include <string>

#include "switch/base/fd.h"
#include "switch/base/result.h"

namespace lanyard {

// Forks. The parent waits for the child's ready() and exits 0, or exits with the child's exit code
// if that ends first. Only the child returns.
class Background {
 public:
  static Result<Background> enter();

  // Everything is ready: lets the parent go and gives standard input, output and error to
  // /dev/null.
  void ready();
  // That part of it alone.
  static void detach_output();

 private:
  explicit Background(UniqueFd report) : report_(std::move(report)) {}

  UniqueFd report_;
};

// A file that holds our process number, or our keeper's, while we live.
class PidFile {
 public:
  // A file left by a process that is dead is replaced; EEXIST when that process lives.
  static Result<PidFile> create(const std::string& path, pid_t pid);
  // One that a predecessor made; it has our number from now on.
  static PidFile adopt(std::string path, pid_t pid);
  PidFile(PidFile&& other) noexcept : path_(std::move(other.path_)), pid_(other.pid_) {
    other.path_.clear();
  }
  PidFile& operator=(PidFile&&) = delete;
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  ~PidFile();

  const std::string& path() const { return path_; }

 private:
  PidFile(std::string path, pid_t pid) : path_(std::move(path)), pid_(pid) {}

  std::string path_;
  pid_t pid_;
};

}  // namespace lanyard
