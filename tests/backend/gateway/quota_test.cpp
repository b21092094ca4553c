// SPDX-License-Identifier: MIT
#include "backend/gateway/quota.h"

#include <gtest/gtest.h>

namespace lanyard::testing {
namespace {

using Answer = Quota::Answer;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MacAddress kOne = MacAddress::from_number(0x525400000001);
constexpr MacAddress kTwo = MacAddress::from_number(0x525400000002);

TEST(Quota, LimitsTheFlowsOfEachGuest) {
  Quota quota(3, 100);
  std::uint64_t account = 0;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(quota.take(kOne, seconds(1), account), Answer::granted);
  EXPECT_EQ(quota.take(kOne, seconds(2), account), Answer::too_many);
  EXPECT_EQ(quota.take(kTwo, seconds(2), account), Answer::granted);
  quota.give_back(kOne.number());
  EXPECT_EQ(quota.take(kOne, seconds(2), account), Answer::granted);
  EXPECT_EQ(quota.flows_of(kOne), 3U);
}

TEST(Quota, LimitsNewFlowsPerSecondWithABurstOfAsMany) {
  Quota quota(1000, 10);
  std::uint64_t account = 0;
  struct {
    Time at;
    int granted;
  } const rows[] = {{seconds(5), 10},
                    {seconds(5), 0},
                    {seconds(5) + milliseconds(99), 0},
                    {seconds(5) + milliseconds(300), 3},
                    {seconds(60), 10}};
  for (const auto& row : rows) {
    int granted = 0;
    while (quota.take(kOne, row.at, account) == Answer::granted) ++granted;
    EXPECT_EQ(granted, row.granted) << row.at.count();
  }
}

TEST(Quota, ManyMadeUpGuestsShareOneAccount) {
  Quota quota(2, 100);
  std::uint64_t account = 0;
  for (std::uint64_t i = 0; i < Quota::kAccountsMax; ++i) {
    quota.take(MacAddress::from_number(i), seconds(1), account);
  }
  EXPECT_EQ(quota.take(MacAddress::from_number(9'000'001), seconds(1), account), Answer::granted);
  EXPECT_EQ(quota.take(MacAddress::from_number(9'000'002), seconds(1), account), Answer::granted);
  EXPECT_EQ(quota.take(MacAddress::from_number(9'000'003), seconds(1), account), Answer::too_many);
  quota.give_back(account);
  EXPECT_EQ(quota.take(MacAddress::from_number(9'000'004), seconds(1), account), Answer::granted);
}

TEST(Quota, ForgetsGuestsWithoutFlows) {
  Quota quota(2, 10);
  std::uint64_t account = 0;
  quota.take(kOne, seconds(1), account);
  quota.take(kTwo, seconds(1), account);
  quota.give_back(kOne.number());
  quota.expire(seconds(1));
  EXPECT_EQ(quota.accounts(), 2U) << "its bucket is not full yet";
  quota.expire(seconds(3));
  EXPECT_EQ(quota.accounts(), 1U);
}

}  // namespace
}  // namespace lanyard::testing
