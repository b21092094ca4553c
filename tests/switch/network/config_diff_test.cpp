// SPDX-License-Identifier: MIT
#include "switch/network/config_diff.h"

#include <gmock/gmock.h>

#include "switch/network/config_file.h"

namespace lanyard {
namespace {

constexpr std::string_view kBefore = R"(
[network.lab]
kind = "nat"
[network.lab.dhcp]
lease_time = 3600
[[network.lab.forward]]
name = "web"
from = "8080"
to = "10.0.2.15:80"
)";

std::string text_of(const std::vector<ConfigChange>& changes) {
  std::string text;
  for (const ConfigChange& change : changes) {
    for (const std::string& sentence : change.sentences) text += sentence + "\n";
    text += change.needs_restart ? "(restart)\n" : "";
  }
  return text;
}

std::string changed(std::string_view after) {
  const ConfigOutcome from = parse_config(kBefore, "before");
  const ConfigOutcome to = parse_config(after, "after");
  for (const ConfigProblem& problem : to.problems) ADD_FAILURE() << problem.message();
  return text_of(diff(from.configuration, to.configuration));
}

std::string with(std::string_view more, std::string_view network = {}) {
  std::string text(kBefore);
  const std::string_view kind = "kind = \"nat\"\n";
  text.insert(text.find(kind) + kind.size(), network);
  return text + std::string(more);
}

TEST(ConfigDiff, IsEmptyForTheSame) {
  EXPECT_EQ(changed(kBefore), "");
  EXPECT_EQ(changed(with("# a remark\n")), "");
}

TEST(ConfigDiff, SaysWhatCanChangeUnderWay) {
  EXPECT_EQ(changed(with("[[network.lab.forward]]\nname='ssh'\nfrom='2222'\nto='10.0.2.15:22'\n")),
            "network lab: forward ssh added: tcp 127.0.0.1:2222 -> 10.0.2.15:22\n");
  EXPECT_EQ(changed(with("[[network.lab.guest]]\nname='vm1'\naddress='10.0.2.20'\n")),
            "network lab: guest vm1 added: address 10.0.2.20\n");
  EXPECT_EQ(changed(with("[network.lab.policy]\nrestricted = true\n")),
            "network lab: policy.restricted: true, it was false\n");
  EXPECT_EQ(changed(with("", "vlans = [7]\n")), "network lab: vlans: 7, it was none\n");
}

TEST(ConfigDiff, SaysWhatTakesTheNetworkDown) {
  EXPECT_EQ(changed(with("", "mtu = 1400\n")), "network lab: mtu: 1400, it was 1500\n(restart)\n");
  EXPECT_THAT(changed(with("", "subnet6 = 'none'\n")), testing::HasSubstr("(restart)"));
  EXPECT_THAT(changed("[network.lab]\nkind='host-only'\n"),
              testing::AllOf(testing::HasSubstr("network lab: kind: host-only, it was nat"),
                             testing::HasSubstr("network lab: host.name: ly-lab, it was none"),
                             testing::HasSubstr("(restart)")));
}

TEST(ConfigDiff, NamesNetworksThatComeAndGo) {
  EXPECT_EQ(changed(""), "network lab removed: nat 10.0.2.0/24\n");
  EXPECT_EQ(changed(with("[network.wire]\nkind='internal'\n")), "network wire added: internal\n");
  EXPECT_EQ(changed(with("[control]\ngroup='kvm'\n")), "control.group: kvm, it was none\n");
}

TEST(ConfigDiff, NamesWhatChangedInAForward) {
  std::string text(kBefore);
  text.replace(text.find("8080"), 4, "8081");
  EXPECT_EQ(changed(text),
            "network lab: forward web changed: tcp 127.0.0.1:8081 -> 10.0.2.15:80; it was tcp "
            "127.0.0.1:8080 -> 10.0.2.15:80\n");
}

}  // namespace
}  // namespace lanyard
