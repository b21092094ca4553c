// SPDX-License-Identifier: MIT
#include "switch/base/poll_one.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace lanyard {

short poll_one(int fd, short events, std::optional<Duration> patience) {
  constexpr Duration kSecond = std::chrono::seconds(1);
  const Time end = monotonic_now() + patience.value_or(Duration{0});
  Duration left = std::max(patience.value_or(Duration{0}), Duration{0});
  for (;;) {
    pollfd ready{fd, events, 0};
    const timespec most{left / kSecond, (left % kSecond).count()};
    const int count = ::ppoll(&ready, 1, patience ? &most : nullptr, nullptr);
    if (count > 0) return ready.revents;
    if (count == 0 || errno != EINTR) return 0;
    left = std::max(end - monotonic_now(), Duration{0});
  }
}

}  // namespace lanyard
