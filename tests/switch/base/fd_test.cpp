// SPDX-License-Identifier: MIT
#include "switch/base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace lanyard {
namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) != -1;
}

int some_descriptor() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

TEST(UniqueFd, OwnsNothingAtFirst) {
  const UniqueFd fd;
  EXPECT_FALSE(fd);
  EXPECT_EQ(fd.get(), -1);
}

TEST(UniqueFd, ClosesAtTheEnd) {
  const int raw = some_descriptor();
  {
    const UniqueFd fd(raw);
    EXPECT_TRUE(fd);
    EXPECT_TRUE(is_open(raw));
  }
  EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, MovesAndClosesWhatItHeld) {
  UniqueFd first(some_descriptor());
  UniqueFd second(some_descriptor());
  const int kept = first.get();
  const int closed = second.get();
  second = std::move(first);
  EXPECT_EQ(second.get(), kept);
  EXPECT_FALSE(first);  // NOLINT: that is what is tested
  EXPECT_TRUE(is_open(kept));
  EXPECT_FALSE(is_open(closed));
}

TEST(UniqueFd, SurvivesBeingMovedToItself) {
  UniqueFd fd(some_descriptor());
  UniqueFd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(is_open(fd.get()));
}

TEST(UniqueFd, ReleasesWithoutClosing) {
  UniqueFd fd(some_descriptor());
  const int raw = fd.release();
  EXPECT_FALSE(fd);
  EXPECT_TRUE(is_open(raw));
  ::close(raw);
}

TEST(UniqueFd, ResetsToAnother) {
  UniqueFd fd(some_descriptor());
  const int before = fd.get();
  const int after = some_descriptor();
  fd.reset(after);
  EXPECT_EQ(fd.get(), after);
  EXPECT_FALSE(is_open(before));
}

}  // namespace
}  // namespace lanyard
