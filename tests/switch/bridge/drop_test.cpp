// SPDX-License-Identifier: MIT
#include "switch/bridge/drop.h"

#include <gtest/gtest.h>

#include <set>

namespace lanyard {
namespace {

TEST(Drop, HasANameAndASentenceForEveryReason) {
  std::set<std::string_view> names;
  for (const DropText& text : kDropTexts) {
    EXPECT_FALSE(text.name.empty());
    EXPECT_FALSE(text.sentence.empty());
    EXPECT_TRUE(names.insert(text.name).second) << text.name;
  }
  EXPECT_EQ(kDropTexts[static_cast<std::size_t>(Drop::queue_full)].name, "queue_full");
}

TEST(Drop, KnowsWhoseFaultItIs) {
  for (const Drop why : {Drop::too_short, Drop::not_member, Drop::no_receiver}) {
    EXPECT_FALSE(is_outgoing(why));
  }
  for (const Drop why : {Drop::queue_full, Drop::receiver_gone, Drop::unplugged}) {
    EXPECT_TRUE(is_outgoing(why));
  }
  EXPECT_FALSE(is_outgoing(Drop::none));
}

TEST(DropCounters, CountByReasonAndSide) {
  DropCounters drops;
  drops.count(Drop::too_short);
  drops.count(Drop::same_port, 3);
  drops.count(Drop::queue_full, 10);
  EXPECT_EQ(drops.of(Drop::same_port), 3U);
  EXPECT_EQ(drops.incoming(), 4U);
  EXPECT_EQ(drops.outgoing(), 10U);
  drops.clear();
  EXPECT_EQ(drops.incoming() + drops.outgoing(), 0U);
}

}  // namespace
}  // namespace lanyard
