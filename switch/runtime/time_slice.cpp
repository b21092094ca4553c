// SPDX-License-Identifier: MIT
#include "switch/runtime/time_slice.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {
namespace {

Error failed(const char* call) {
  return Error{errno, fmt::format("{}: {}", call, std::strerror(errno))};
}

// struct sched_attr of sched_setattr(2), first version. The C library has neither it nor names for
// the calls before 2.41, and the kernel's header cannot be included beside <sched.h>.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime_ns = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

Result<SchedulingAttributes> attributes() {
  SchedulingAttributes found;
  if (::syscall(SYS_sched_getattr, 0, &found, sizeof found, 0) != 0) {
    return failed("sched_getattr");
  }
  return found;
}

}  // namespace

Result<void> ask_for_short_slices() {
  Result<SchedulingAttributes> found = attributes();
  if (!found) return found.error();
  SchedulingAttributes wanted = found.value();
  if (wanted.policy != SCHED_OTHER && wanted.policy != SCHED_BATCH) return {};
  wanted.size = sizeof wanted;
  wanted.runtime_ns = static_cast<std::uint64_t>(kShortSlice.count());
  if (::syscall(SYS_sched_setattr, 0, &wanted, 0) != 0) return failed("sched_setattr");
  return {};
}

Result<Duration> slice_of_this_thread() {
  const Result<SchedulingAttributes> found = attributes();
  if (!found) return found.error();
  return Duration{static_cast<Duration::rep>(found.value().runtime_ns)};
}

}  // namespace lanyard
