// SPDX-License-Identifier: MIT
#include "backend/gateway/policy.h"

#include <gtest/gtest.h>

#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

Policy policy_of(const NetworkConfig& config) {
  return Policy::create(config).take();
}

std::string answer(const Policy& policy, const char* target, std::uint16_t port) {
  const auto reason = policy.refusal(addr(target), port);
  return reason ? std::string(kNatEventNames[static_cast<std::size_t>(*reason)]) : "allowed";
}

TEST(Policy, DenyWinsOverAllow) {
  NetworkConfig config = nat_config();
  config.policy.allow = {"192.0.2.0/24", "2001:db8::/32:443"};
  config.policy.deny = {"192.0.2.9", "192.0.2.0/24:25"};
  const Policy policy = policy_of(config);
  EXPECT_EQ(answer(policy, "192.0.2.1", 80), "allowed");
  EXPECT_EQ(answer(policy, "192.0.2.1", 25), "drop_policy_denied");
  EXPECT_EQ(answer(policy, "192.0.2.9", 80), "drop_policy_denied");
  EXPECT_EQ(answer(policy, "198.51.100.1", 80), "drop_policy_not_allowed");
  EXPECT_EQ(answer(policy, "2001:db8::1", 443), "allowed");
  EXPECT_EQ(answer(policy, "2001:db8::1", 80), "drop_policy_not_allowed");
}

// No list opens what is not a destination.
TEST(Policy, ListsDoNotOpenTheHost) {
  NetworkConfig config = nat_config();
  config.policy.host_loopback = false;
  config.policy.allow = {"0.0.0.0/0", "::/0"};
  const Policy policy = policy_of(config);
  for (const char* target :
       {"127.0.0.1", "0.0.0.0", "10.0.2.2", "10.0.2.50", "169.254.169.254", "240.0.0.1", "::1",
        "::", "::ffff:10.0.0.1", "fd00:2::2", "fe80::5", "fd00:ec2::254"}) {
    EXPECT_NE(answer(policy, target, 80), "allowed") << target;
  }
  EXPECT_EQ(answer(policy, "8.8.8.8", 80), "allowed");
}

TEST(Policy, SwitchesOpenWhatTheySay) {
  NetworkConfig config = nat_config();
  config.policy.metadata = true;
  Policy policy = policy_of(config);
  EXPECT_EQ(answer(policy, "169.254.169.254", 80), "allowed");
  EXPECT_EQ(answer(policy, "169.254.169.253", 80), "drop_policy_link_local");
  EXPECT_EQ(answer(policy, "10.0.2.2", 80), "allowed");
  policy.set_host_addresses({addr("192.168.1.7"), addr("2001:db8::7")});
  EXPECT_EQ(answer(policy, "192.168.1.7", 80), "allowed");
  config.policy.host_addresses = false;
  policy = policy_of(config);
  policy.set_host_addresses({addr("192.168.1.7"), addr("2001:db8::7")});
  EXPECT_EQ(answer(policy, "192.168.1.7", 80), "drop_policy_host_address");
  EXPECT_EQ(answer(policy, "2001:db8::7", 80), "drop_policy_host_address");
  EXPECT_EQ(answer(policy, "192.168.1.8", 80), "allowed");
}

}  // namespace
}  // namespace lanyard::testing
