// SPDX-License-Identifier: MIT
#include "switch/frame/ethernet.h"

#include <gtest/gtest.h>

#include "tests/support/frame_builder.h"

namespace lanyard {
namespace {

using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::WireFrame;

TEST(EthernetView, IsValidFromAWholeHeaderOn) {
  for (std::size_t size = 0; size <= 20; ++size) {
    const WireFrame wire = frame().size(64).cut(size);
    EXPECT_EQ(EthernetView(wire.bytes).valid(), size >= 14) << size;
  }
}

TEST(EthernetView, ReadsTheHeader) {
  const WireFrame wire = frame().from(kAlice).to(kBob).type(0x0806);
  const EthernetView view(wire.bytes);
  EXPECT_EQ(view.source(), kAlice);
  EXPECT_EQ(view.destination(), kBob);
  EXPECT_EQ(view.type(), 0x0806);
  EXPECT_FALSE(view.has_group_destination());
  EXPECT_TRUE(EthernetView(frame().wire().bytes).has_group_destination());
}

TEST(EthernetView, ReadsATagOnlyWhenATypeFollowsIt) {
  const WireFrame whole = frame().tag(0xabc, 5, true);
  EXPECT_EQ(EthernetView(whole.bytes).type(), kEtherTypeVlan);
  EXPECT_EQ(EthernetView(whole.bytes).tci(), 0xbabc);
  for (std::size_t size = 14; size < 18; ++size) {
    const WireFrame cut = frame().tag(0xabc).cut(size);
    EXPECT_EQ(EthernetView(cut.bytes).tci(), std::nullopt) << size;
  }
}

}  // namespace
}  // namespace lanyard
