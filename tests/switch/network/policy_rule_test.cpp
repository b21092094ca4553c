// SPDX-License-Identifier: MIT
#include "switch/network/policy_rule.h"

#include <gtest/gtest.h>

#include "backend/gateway/policy.h"
#include "switch/base/text.h"
#include "switch/network/config_file.h"

namespace lanyard {
namespace {

TEST(PolicyRule, ReadsAddressesPrefixesAndPorts) {
  struct {
    const char* text;
    const char* target;
    std::uint16_t port;
    bool matches;
  } const rows[] = {{"10.0.0.0/8", "10.1.2.3", 1, true},
                    {"10.0.0.0/8", "11.1.2.3", 1, false},
                    {"192.0.2.1", "192.0.2.1", 65535, true},
                    {"192.0.2.1:443", "192.0.2.1", 443, true},
                    {"192.0.2.1:443", "192.0.2.1", 444, false},
                    {"0.0.0.0/0:80-90", "8.8.8.8", 90, true},
                    {"0.0.0.0/0:80-90", "8.8.8.8", 91, false},
                    {"0.0.0.0/0", "2001:db8::1", 1, false},
                    {"::/0", "2001:db8::1", 1, true},
                    {"::/0", "8.8.8.8", 1, false},
                    {"2001:db8::1", "2001:db8::1", 1, true},
                    {"2001:db8::1:443", "2001:db8::1:443", 1, true},
                    {"2001:db8::/32:443", "2001:db8::9", 443, true},
                    {"2001:db8::/32:443", "2001:db8::9", 80, false},
                    {"[2001:db8::/32]:443", "2001:db8::9", 443, true},
                    {"[2001:db8::1]:1-2", "2001:db8::1", 3, false},
                    {"[2001:db8::]/32:443", "2001:db8::9", 443, true},
                    {"[2001:db8::]/32:443", "2001:db8::9", 80, false},
                    {"[2001:db8::]/32", "2001:db8::9", 80, true},
                    {"[2001:db8::1]", "2001:db8::1", 3, true}};
  for (const auto& row : rows) {
    const auto rule = PolicyRule::parse(row.text);
    ASSERT_TRUE(rule.ok()) << row.text;
    EXPECT_EQ(rule.value().matches(*IpAddress::parse(row.target), row.port), row.matches)
        << row.text << ' ' << row.target << ' ' << row.port;
  }
}

TEST(PolicyRule, RefusesWhatIsNone) {
  for (const char* text : {"",
                           "10.0.0.0/33",
                           "10.0.0",
                           "example.org",
                           "10.0.0.1:",
                           "10.0.0.1:0",
                           "10.0.0.1:90-80",
                           "10.0.0.1:65536",
                           "10.0.0.1:+80",
                           "10.0.0.1:0x50",
                           "[::1",
                           "[::1]:",
                           "[::1]x",
                           "[]",
                           "[::]/",
                           "[::]/129",
                           "::/129",
                           ":80",
                           "10.0.0.1:80-",
                           "10.0.0.1:a",
                           "10.0.0.1:80:90"}) {
    EXPECT_FALSE(PolicyRule::parse(text).ok()) << text;
  }
}

// Else a checked configuration could stop a gateway from starting.
TEST(PolicyRule, WhatTheCheckTakesTheNatTakes) {
  for (const char* text : {"10.0.0.0/8", "192.0.2.1:443", "10.0.0.1:90-80", "2001:db8::/32:443",
                           "[2001:db8::]/32:443", "[2001:db8::/32]:80-89", "10.0.0.1:0x50"}) {
    const ConfigOutcome outcome =
        parse_config(fmt::format("[network.a]\nkind = 'nat'\n[network.a.policy]\ndeny = ['{}']\n"
                                 "allow = ['{}']\n",
                                 text, text),
                     "lab.toml");
    NetworkConfig network;
    network.policy.deny = {text};
    const auto policy = Policy::create(network);
    EXPECT_EQ(outcome.problems.empty(), policy.ok()) << text;
    EXPECT_EQ(outcome.problems.size(), policy.ok() ? 0U : 2U) << text;
    if (!policy) {
      EXPECT_NE(policy.error().text.find(text), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace lanyard
