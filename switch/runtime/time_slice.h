// SPDX-License-Identifier: MIT
//
// Asks the kernel to run this thread soon after it wakes, also where others compute.
//
// Hosts of virtual machines are busy with processors of guests. By default a thread that wakes may
// have to wait for the end of their slice, milliseconds, and every frame waits with it. It need
// not: since Linux 6.12 a thread with shorter slices than theirs is sooner its turn (with EEVDF a
// shorter slice is an earlier deadline; Documentation/scheduler/sched-eevdf.rst, sched_setattr(2)).
// It gets no more of the processor than before, so one that wants more than its share waits all the
// same; and it needs no privilege. Older kernels take no notice.
#pragma once

#include "switch/base/result.h"
#include "switch/base/time.h"

namespace lanyard {

// The shortest that the kernel gives.
constexpr Duration kShortSlice = std::chrono::microseconds(100);

// For this thread, and those that it will make, of a policy that has slices (SCHED_OTHER,
// SCHED_BATCH); whoever has chosen another for us is left alone. Errors are of the kernel:
// nothing has changed then.
Result<void> ask_for_short_slices();

// What the kernel says this thread's slice is; 0 where it is not asked for.
Result<Duration> slice_of_this_thread();

}  // namespace lanyard
