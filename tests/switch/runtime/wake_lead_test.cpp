// SPDX-License-Identifier: MIT
#include "switch/runtime/wake_lead.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::microseconds;

TEST(WakeLeadTest, GrowsWithAMachineThatWakesLate) {
  WakeLead lead;
  for (int i = 0; i < 10; ++i) lead.woken(microseconds(300));
  EXPECT_GE(lead.lead(), microseconds(300));
  EXPECT_LE(lead.lead(), microseconds(400));
}

TEST(WakeLeadTest, ShrinksWhereWakeUpsArePunctual) {
  WakeLead lead;
  for (int i = 0; i < 2000; ++i) lead.woken(microseconds(5));
  EXPECT_EQ(lead.lead(), WakeLead::kMin);
}

TEST(WakeLeadTest, CoversNinetyNineOfAHundred) {
  WakeLead lead;
  int late = 0;
  for (int i = 0; i < 100'000; ++i) {
    // 0 to 200 us, each as often as the others, in no order.
    const Duration lateness = microseconds(i * 7919LL % 200);
    late += i >= 10'000 && lateness > lead.lead() ? 1 : 0;
    lead.woken(lateness);
  }
  EXPECT_LT(late, 900);
  EXPECT_LT(lead.lead(), microseconds(260));
}

TEST(WakeLeadTest, HasAnEnd) {
  WakeLead lead;
  for (int i = 0; i < 100; ++i) lead.woken(std::chrono::seconds(1));
  EXPECT_EQ(lead.lead(), WakeLead::kMax);
}

}  // namespace
}  // namespace lanyard
