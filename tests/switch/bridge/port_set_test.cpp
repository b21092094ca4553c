// SPDX-License-Identifier: MIT
#include "switch/bridge/port_set.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

namespace lanyard {
namespace {

std::vector<PortId> listed(const PortSet& set) {
  std::vector<PortId> ids;
  set.for_each([&](PortId id) { ids.push_back(id); });
  return ids;
}

TEST(PortSet, IsEmptyAtFirst) {
  const PortSet set;
  EXPECT_TRUE(set.empty());
  EXPECT_FALSE(set.has(0));
  EXPECT_FALSE(set.has(kPortNone));
}

TEST(PortSet, HoldsEveryPortNumberThereIs) {
  PortSet set;
  for (const PortId id : {PortId{0}, PortId{63}, PortId{64}, kPortMax}) set.add(id);
  EXPECT_EQ(listed(set), (std::vector<PortId>{0, 63, 64, kPortMax}));
  set.remove(kPortMax);
  EXPECT_FALSE(set.has(kPortMax));
  for (const PortId id : {PortId{0}, PortId{63}, PortId{64}, PortId{9999}}) set.remove(id);
  EXPECT_TRUE(set.empty());
}

RC_GTEST_PROP(PortSet, IsASet, (const std::vector<std::pair<std::uint16_t, bool>>& steps)) {
  PortSet set;
  std::set<PortId> model;
  for (const auto& [number, add] : steps) {
    const auto id = static_cast<PortId>(number % 300);
    if (add) {
      set.add(id);
      model.insert(id);
    } else {
      set.remove(id);
      model.erase(id);
    }
    RC_ASSERT(set.has(id) == add);
  }
  RC_ASSERT(set.empty() == model.empty());
  RC_ASSERT(listed(set) == std::vector<PortId>(model.begin(), model.end()));
}

}  // namespace
}  // namespace lanyard
