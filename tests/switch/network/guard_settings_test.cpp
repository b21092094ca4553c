// SPDX-License-Identifier: MIT
#include "switch/network/guard_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace lanyard {
namespace {

using ::testing::HasSubstr;

std::string get(const GuardSettings& settings, std::string_view key) {
  for (const GuardField& field : guard_fields()) {
    if (field.key == key) return field.get(settings);
  }
  return "no such key";
}

TEST(GuardSettings, AllOffIsWhatAPortOfVdeSwitchIs) {
  for (const GuardField& field : guard_fields()) {
    const std::string off = field.get(GuardSettings{});
    EXPECT_TRUE(off == "off" || off == "deny" || off == "any" || off == "drop" || off == "none")
        << field.key << " " << off;
  }
}

TEST(GuardSettings, HaveEachKeyOnceWithASentence) {
  std::set<std::string_view> keys;
  for (const GuardField& field : guard_fields()) {
    EXPECT_TRUE(keys.insert(field.key).second) << field.key;
    EXPECT_FALSE(field.help.empty());
    EXPECT_FALSE(field.values.empty());
  }
}

TEST(GuardSettings, SayAndReadTheSame) {
  struct Row {
    std::string_view key, said, shown;
  };
  const Row rows[] = {
      {"trusted", "on", "on"},
      {"isolated", "yes", "on"},
      {"isolated", "0", "off"},
      {"promiscuous", "allow-vms", "allow-vms"},
      {"promiscuous", "allow-all", "allow-all"},
      {"promiscuous", "deny", "deny"},
      {"max_macs", "1024", "1024"},
      {"max_macs", "off", "off"},
      {"macs", "02:00:00:00:00:01,02:00:00:00:00:02", "02:00:00:00:00:01,02:00:00:00:00:02"},
      {"macs", "any", "any"},
      {"on_violation", "shut", "shut"},
      {"broadcast_pps", "10000", "10000"},
      {"rate_in", "20m", "2500K"},
      {"rate_in", "1g", "125M"},
      {"rate_in", "5", "5M"},
      {"rate_in", "9k", "9k"},
      {"rate_out", "3M", "3M"},
      {"rate_out", "off", "off"},
      {"burst_in", "64K", "64000"},
      {"bandwidth_group", "slow", "slow"},
      {"bandwidth_group", "none", "none"},
  };
  for (const Row& row : rows) {
    GuardSettings settings;
    const Result<void> set = set_guard_field(settings, row.key, row.said);
    EXPECT_TRUE(set.ok()) << row.key << " " << row.said;
    EXPECT_EQ(get(settings, row.key), row.shown) << row.key << " " << row.said;
    GuardSettings again;
    ASSERT_TRUE(set_guard_field(again, row.key, get(settings, row.key)).ok()) << row.key;
    EXPECT_EQ(again, settings) << row.key;
  }
}

TEST(GuardSettings, RefuseWithTheValueAndWhatWouldDo) {
  struct Row {
    std::string_view key, said, why;
  };
  const Row rows[] = {
      {"isolated", "maybe", "isolated: 'maybe' is not on or off"},
      {"promiscuous", "", "deny, allow-vms or allow-all"},
      {"max_macs", "-1", "max_macs: '-1' is not a number"},
      {"max_macs", "4294967296", "is not a number"},
      {"macs", "02:00:00:00:00:01,x", "'x' is not the MAC address of a station"},
      {"macs", "ff:ff:ff:ff:ff:ff", "is not the MAC address of a station"},
      {"rate_in", "fast", "'fast' is not a rate"},
      {"rate_in", "99999999999999999999m", "is not a rate"},
      {"rate_in", "126G", "is not a rate"},
      {"burst_in", "-5", "is not a number of bytes"},
      {"sticky", "on", "sticky needs max_macs"},
      {"no_such", "on", "there is no guard 'no_such'; there are trusted, isolated"},
  };
  for (const Row& row : rows) {
    GuardSettings settings;
    const Result<void> set = set_guard_field(settings, row.key, row.said);
    ASSERT_FALSE(set.ok()) << row.key << " " << row.said;
    EXPECT_THAT(set.error().text, HasSubstr(row.why));
    EXPECT_EQ(settings, GuardSettings{}) << "nothing is changed";
  }
}

}  // namespace
}  // namespace lanyard
