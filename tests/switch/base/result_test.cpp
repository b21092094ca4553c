// SPDX-License-Identifier: MIT
#include "switch/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace lanyard {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return Error{EINVAL, "odd"};
  return number / 2;
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = half(8);
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(static_cast<bool>(good));
  EXPECT_EQ(good.value(), 4);

  const Result<int> bad = half(7);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, EINVAL);
  EXPECT_EQ(bad.error().text, "odd");
}

TEST(Result, GivesAwayWhatCanOnlyBeMoved) {
  Result<std::unique_ptr<int>> owner = std::make_unique<int>(5);
  const std::unique_ptr<int> taken = owner.take();
  EXPECT_EQ(*taken, 5);
}

TEST(Result, OfNothingIsGoodUntilItHoldsAnError) {
  const Result<void> good;
  EXPECT_TRUE(good.ok());
  const Result<void> bad = Error{ENOENT, "gone"};
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ENOENT);
}

TEST(Result, MayHoldAnErrorAsItsValueType) {
  // By index, not by type: a value that looks like an error is still a value.
  const Result<std::string> text = std::string("fine");
  EXPECT_TRUE(text.ok());
}

}  // namespace
}  // namespace lanyard
