// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include "switch/network/config_json.h"

namespace lanyard {
namespace {

struct Row {
  std::string_view from;
  std::string_view to;
  std::string_view read;  // "FROM -> TO" as it is written back, or a part of the error
};

class Forwards : public testing::TestWithParam<Row> {};

TEST_P(Forwards, AreReadAndWrittenBack) {
  const auto forward = parse_forward("f", GetParam().from, GetParam().to);
  const std::string text =
      forward ? forward_from_text(forward.value()) + " -> " + forward_to_text(forward.value())
              : forward.error().text;
  EXPECT_THAT(text, testing::HasSubstr(GetParam().read));
  if (!forward) return;
  const auto again =
      parse_forward("f", forward_from_text(forward.value()), forward_to_text(forward.value()));
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_EQ(again.value(), forward.value());
}

INSTANTIATE_TEST_SUITE_P(
    Right, Forwards,
    testing::Values(Row{"2222", "10.0.2.15:22", "tcp:127.0.0.1:2222 -> 10.0.2.15:22"},
                    Row{"tcp:2222", "vm1:22", "tcp:127.0.0.1:2222 -> vm1:22"},
                    Row{"*:80", "vm1.lab:80", "tcp:0.0.0.0:80 -> vm1.lab:80"},
                    Row{"udp:192.0.2.1:53", "vm1:53", "udp:192.0.2.1:53 -> vm1:53"},
                    Row{"[::1]:2222", "[FD00::15]:22", "tcp:[::1]:2222 -> [fd00::15]:22"},
                    Row{"udp:[::]:8000-8009", "vm1:9000", "udp:[::]:8000-8009 -> vm1:9000"},
                    Row{"unix:/tmp/a b", "vm1:22", "unix:/tmp/a b -> vm1:22"},
                    Row{"65535", "vm1:65535", "tcp:127.0.0.1:65535 -> vm1:65535"}));

INSTANTIATE_TEST_SUITE_P(
    Wrong, Forwards,
    testing::Values(Row{"", "vm1:22", "\"\" is no port"}, Row{"0", "vm1:22", "\"0\" is no port"},
                    Row{"65536", "vm1:22", "is no port"}, Row{"9-8", "vm1:22", "runs backwards"},
                    Row{"1-60000", "vm1:1", "at most 4096"},
                    Row{"::1:22", "vm1:22", "an IPv6 address stands in brackets"},
                    Row{"[::1]", "vm1:22", "is not [tcp:|udp:]"},
                    Row{"sctp:22", "vm1:22", "is not [tcp:|udp:]"},
                    Row{"unix:a", "vm1:22", "no absolute path"},
                    Row{"22", "vm1", "is not GUEST:PORT"}, Row{"22", ":22", "is not GUEST:PORT"},
                    Row{"22", "10.0.2:22", "is not GUEST:PORT"},
                    Row{"22", "fd00::1:22", "is not GUEST:PORT"}, Row{"22", "vm1:0", "is no port"},
                    Row{"22-31", "vm1:65530", "pass 65535"}));

TEST(VirtualBoxRules, MeanWhatTheyMeanThere) {
  const auto rule = parse_virtualbox_forward("ssh,tcp,127.0.0.1,2222,,22");
  ASSERT_TRUE(rule);
  EXPECT_EQ(rule.value().name, "ssh");
  EXPECT_EQ(forward_from_text(rule.value()), "tcp:127.0.0.1:2222");
  EXPECT_EQ(rule.value().guest, "");
  const auto open = parse_virtualbox_forward(",udp,,53,10.0.2.9,5353");
  ASSERT_TRUE(open);
  EXPECT_EQ(open.value().name, "udp_53");
  EXPECT_EQ(forward_from_text(open.value()), "udp:0.0.0.0:53");
  for (const std::string_view wrong :
       {"", "ssh", "ssh,tcp,,22,,22,", "ssh,icmp,,22,,22", "ssh,tcp,localhost,22,,22",
        "ssh,tcp,,x,,22", "ssh,tcp,,22,10.0.2,22", "ssh,tcp,,22,,"}) {
    EXPECT_FALSE(parse_virtualbox_forward(wrong)) << wrong;
  }
}

TEST(ForwardNames, ArePrintable) {
  EXPECT_FALSE(parse_forward("", "22", "vm1:22"));
  EXPECT_FALSE(parse_forward("a\nb", "22", "vm1:22"));
  EXPECT_FALSE(parse_forward(std::string(65, 'a'), "22", "vm1:22"));
}

TEST(ForwardJson, HasThreeTexts) {
  const auto forward = parse_forward("ssh", "2222", "vm1:22");
  ASSERT_TRUE(forward);
  const Json json = to_json(forward.value());
  EXPECT_EQ(json.dump(), R"({"from":"tcp:127.0.0.1:2222","name":"ssh","to":"vm1:22"})");
  EXPECT_EQ(forward_from_json(json).value(), forward.value());
  EXPECT_FALSE(forward_from_json(Json::array()));
  EXPECT_FALSE(forward_from_json({{"name", "a"}, {"from", 22}, {"to", "vm1:22"}}));
  EXPECT_FALSE(network_from_json({{"name", "a"}, {"mtu", "big"}}));
  EXPECT_FALSE(network_from_json({{"name", "a"}, {"colour", "red"}}));
  EXPECT_FALSE(network_from_json({{"kind", "nat"}}));
}

}  // namespace
}  // namespace lanyard
