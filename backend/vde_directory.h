// SPDX-License-Identifier: MIT
//
// The directory that is a VDE switch to its clients: `ctl`, one stream socket more for each group
// of ports, and a datagram socket for each endpoint, with modes and owners as clients expect them.
//
// It is shared by the listener and its endpoints and tidied up when the last of them is gone:
// our names, those that clients which have died left behind, then the directory itself, if it is
// empty. Names that other processes made are left alone. Lane thread only.
#pragma once

#include <memory>
#include <string>

#include "switch/base/log.h"
#include "switch/base/socket_directory.h"
#include "switch/base/time.h"
#include "switch/base/unix_socket.h"
#include "switch/bridge/port.h"

namespace lanyard {

class VdeDirectory {
 public:
  struct Settings {
    std::string path;
    mode_t socket_mode = 0600;
    mode_t directory_mode = 02700;
    gid_t group = kNoGroup;
    // Of sockets made for type 1 requests ("management").
    mode_t management_mode = 0600;
    gid_t management_group = kNoGroup;
  };

  // Creates the directory, or uses an existing one, and claims it: EADDRINUSE when another switch
  // has. The error's text is the log line. `maker` does what the file system is needed for;
  // nullptr: this process.
  static Result<std::shared_ptr<VdeDirectory>> open(Settings settings, Log& log,
                                                    SocketDirectories* maker = nullptr);
  // Goes on with a directory that a predecessor served: `claim` is its lock.
  static std::shared_ptr<VdeDirectory> adopt(Settings settings, UniqueFd claim, Time since,
                                             Log& log, SocketDirectories* maker = nullptr);
  ~VdeDirectory();
  VdeDirectory(const VdeDirectory&) = delete;
  VdeDirectory& operator=(const VdeDirectory&) = delete;

  const std::string& path() const { return settings_.path; }
  // Of a listener's socket.
  std::string path_of(const std::string& name) const { return settings_.path + "/" + name; }
  const Settings& settings() const { return settings_; }
  int claim() const { return claim_.get(); }
  Time since() const { return since_; }

  // A listening stream socket NAME, with the modes of `ctl`; or `given`, which is one and stays its
  // giver's, as the directory does then.
  Result<UniqueFd> listen(const std::string& name, UniqueFd given);
  // The directory is not ours to remove.
  void leave_standing() { stays_ = true; }
  // Takes the name away if it is still that of the socket which listen() made.
  void remove_listener(const std::string& path, int listening_fd);

  // Names the data socket of a client and returns the path.
  Result<std::string> bind_data(int data_fd, PortId port, const Identity& client, bool management);

 private:
  VdeDirectory(Settings settings, Log& log, SocketDirectories* maker);

  Settings settings_;
  Log& log_;
  OwnSocketDirectories own_;
  SocketDirectories& maker_;
  bool is_root_;
  Time since_ = monotonic_now();
  UniqueFd claim_;
  bool ours_ =
      false;  // nobody else serves it: at least one listener was made, or the directory was
  bool stays_ = false;
};

}  // namespace lanyard
