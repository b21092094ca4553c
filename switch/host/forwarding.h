// SPDX-License-Identifier: MIT
//
// The forwarding sysctls, held for as long as a routed network needs them and then put back.
//
// What makes it hard: several networks and daemons share them, so the last one puts them back, and
// a crashed one may not keep the others from it nor lose what the value was. A small file in the
// state directory, under a lock, names the holders (pid and start time) and the values before. It
// counts for this boot and this network namespace only.
// IPv6: a host that forwards stops to accept router advertisements and loses its default route,
// unless accept_ra is 2; so interfaces with 1 are set to 2 first, and that too is put back.
// The thread that sets things up.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "switch/base/log.h"
#include "switch/base/result.h"

namespace lanyard {

struct ForwardingPlace {
  std::string proc = "/proc";  // where sysctls and processes are read
  std::string state_directory;
};

class Forwarding {
 public:
  static Result<std::unique_ptr<Forwarding>> acquire(ForwardingPlace place,
                                                     const std::string& network, bool ipv6,
                                                     Log& log);
  ~Forwarding();
  Forwarding(const Forwarding&) = delete;
  Forwarding& operator=(const Forwarding&) = delete;

  // Puts back what holders that are gone have left, when no other is there.
  static void clean_up(const ForwardingPlace& place, Log& log);

 private:
  Forwarding(ForwardingPlace place, std::string network, Log& log);

  ForwardingPlace place_;
  std::string network_;
  Log& log_;
};

}  // namespace lanyard
