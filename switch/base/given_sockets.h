// SPDX-License-Identifier: MIT
//
// Listening sockets that a service manager has made for us before it started us (sd_listen_fds(3)),
// found by the path at which they listen.
//
// They stay its own: it gives them to the next process, too. So whoever takes one neither shuts it
// down nor removes its name, and may not be the first to serve it. A value; any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/log.h"

namespace lanyard {

class GivenSockets {
 public:
  // Keeps a Unix stream socket that listens at a path; anything else is closed. False then.
  bool add(UniqueFd socket);
  // The one that listens at `path`, which links may lead to; empty when there is none.
  UniqueFd take(const std::string& path);
  // Where those listen that nobody has taken.
  std::vector<std::string> paths() const;
  // Says of each of those that nobody will ever answer there, and closes it.
  void close_rest(Log& log);

 private:
  std::map<std::string, UniqueFd> sockets_;  // by path without links
};

}  // namespace lanyard
