// SPDX-License-Identifier: MIT
//
// A listening Unix socket for libslirp, which knows only to make its own.
//
// slirp_add_hostxfwd() calls socket(2), bind(2) and listen(2), and has no way to be given what
// listens already. The sandbox refuses it a Unix socket. So the program's own socket() and bind()
// stand before those of the C library: while a GivenListener lives, the first Unix socket that its
// thread asks for is the given one, which needs no name any more. All other calls go straight to
// the kernel. Any thread; one at a time in each.
#pragma once

#include "switch/base/fd.h"

namespace lanyard {

class GivenListener {
 public:
  explicit GivenListener(UniqueFd listener);
  ~GivenListener();
  GivenListener(const GivenListener&) = delete;
  GivenListener& operator=(const GivenListener&) = delete;

  // For socket(): whoever asked has the descriptor. -1 when it was taken before.
  int take();
  // For bind().
  bool was(int fd) const { return taken_ >= 0 && fd == taken_; }

 private:
  UniqueFd listener_;
  int taken_ = -1;
};

}  // namespace lanyard
