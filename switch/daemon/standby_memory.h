// SPDX-License-Identifier: MIT
//
// The memory of a process that stands by to go on where another ends. To touch a page for the first
// time costs a page fault and the kernel's zeroing, and in a virtual machine, whose own memory is
// given and taken by its host, some 30 us instead of one: time for which guests have nobody. So
// what its beginning and the first frames need is touched while nobody waits. Before the process
// has a second thread.
#pragma once

namespace lanyard {

class FramePool;

void prepare_standby_memory(FramePool& pool);

}  // namespace lanyard
