// SPDX-License-Identifier: MIT
//
// Directories of listening sockets: made, claimed and cleaned up here, or by another process for
// one that may not (switch/daemon/spawner.h).
//
// What makes it hard: a directory may be another switch's, one that starts at the same moment, or
// the remains of one that was killed; and what is found there by name may be anybody's. Nothing is
// changed before it is known to be nobody else's, and only sockets that nobody answers at are
// removed. The thread that sets things up only.
#pragma once

#include <string>

#include "switch/base/log.h"
#include "switch/base/unix_socket.h"

namespace lanyard {

// The longest name of such a directory: socket names must fit behind it.
constexpr std::size_t kSocketDirectoryMax = 92;

struct ClaimedDirectory {
  std::string path;      // without links
  UniqueFd claim;        // it, locked: two that start at once cannot both have it
  bool created = false;  // it was not there before
};

struct DirectorySocket {
  std::string name;
  SocketAccess access;
  mode_t directory_mode = 02700;
};

class SocketDirectories {
 public:
  virtual ~SocketDirectories() = default;
  // Makes the directory, or uses an existing one: EADDRINUSE when another switch has it. The
  // error's text is the log line.
  virtual Result<ClaimedDirectory> claim_directory(const std::string& path) = 0;
  // It is one that a predecessor has claimed.
  virtual void adopt_directory(const std::string& path) = 0;
  // A stream socket that listens in the directory, which then has its mode and the socket's group.
  virtual Result<UniqueFd> listen_in_directory(const std::string& path,
                                               const DirectorySocket& socket) = 0;
  // Takes away data sockets whose owners are dead, and with `all` the directory, if it is empty.
  virtual Result<void> clean_directory(const std::string& path, bool all) = 0;
};

// By this process.
class OwnSocketDirectories final : public SocketDirectories {
 public:
  explicit OwnSocketDirectories(Log& log) : log_(log) {}
  Result<ClaimedDirectory> claim_directory(const std::string& path) override;
  void adopt_directory(const std::string&) override {}
  Result<UniqueFd> listen_in_directory(const std::string& path,
                                       const DirectorySocket& socket) override;
  Result<void> clean_directory(const std::string& path, bool all) override;

 private:
  void set_access(const std::string& path, const DirectorySocket& socket) const;

  Log& log_;
};

}  // namespace lanyard
