// SPDX-License-Identifier: MIT
//
// Where log lines go: standard error in the foreground, the system log as a daemon. Neither may
// stop the data thread. So standard error is asked first whether it would take a line, the system
// log gets a datagram that is not waited for, and lines that found no room are counted and told
// later.
#pragma once

#include <cstdint>
#include <string>

#include "switch/base/fd.h"
#include "switch/base/log.h"

namespace lanyard {

class DaemonLog final : public Log {
 public:
  explicit DaemonLog(std::string program) : program_(std::move(program)) {}

  void write(LogLevel level, std::string_view line) override;

  // From now on to the system log.
  void use_syslog();

 private:
  bool write_stderr(std::string_view line) const;
  bool write_syslog(LogLevel level, std::string_view line);

  std::string program_;
  bool syslog_ = false;
  UniqueFd socket_;
  std::uint64_t lost_ = 0;
};

}  // namespace lanyard
