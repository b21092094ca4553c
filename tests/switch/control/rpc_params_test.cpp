// SPDX-License-Identifier: MIT
#include "switch/control/rpc_params.h"

#include <gtest/gtest.h>

#include "switch/control/rpc_handlers.h"

namespace lanyard {
namespace {

// What is wrong with the parameters, as code and sentence; empty when nothing is.
std::string complaint(std::string_view method, const char* params) {
  const std::optional<RpcError> wrong =
      check_rpc_params(*find_rpc_method(method), Json::parse(params));
  return wrong ? wrong->message : "";
}

TEST(RpcParams, AreCheckedAgainstTheTable) {
  struct {
    std::string_view method;
    const char* params;
    std::string_view complaint;
  } const kCases[]{
      {"port.list", R"({})", ""},
      {"port.list", R"({"network":"nat"})", ""},
      {"port.list", R"({"netwrk":"nat"})",
       "port.list: no parameter 'netwrk'; did you mean 'network'?"},
      {"port.list", R"({"zzzzzzz":1})", "port.list: no parameter 'zzzzzzz'"},
      {"port.list", R"({"network":1})", "port.list: 'network' must be a string, not number"},
      {"port.list", R"({"network":null})", "port.list: 'network' must be a string, not null"},
      {"port.show", R"({"network":"nat"})", "port.show: 'port' is missing: port number"},
      {"port.show", R"({"network":"nat","port":1.5})",
       "port.show: 'port' must be a whole number, not number"},
      {"port.show", R"({"network":"nat","port":"1"})",
       "port.show: 'port' must be a whole number, not string"},
      {"port.set", R"({"network":"nat","port":1,"pass_tags":1})",
       "port.set: 'pass_tags' must be true or false, not number"},
      {"port.set", R"({"network":"nat","port":1,"pass_tags":true})", ""},
  };
  for (const auto& c : kCases) EXPECT_EQ(complaint(c.method, c.params), c.complaint) << c.params;
}

TEST(RpcParams, OfAnUnknownNameDoNotGrowTheAnswer) {
  const Json params{{std::string(60000, 'x'), 1}};
  const auto wrong = check_rpc_params(*find_rpc_method("port.list"), params);
  ASSERT_TRUE(wrong);
  EXPECT_LT(wrong->message.size(), 200U);
}

TEST(RpcParams, AMisspeltMethodIsGuessed) {
  EXPECT_EQ(unknown_rpc_method("prot.list").message,
            "there is no method 'prot.list'; did you mean 'port.list'?");
  EXPECT_EQ(unknown_rpc_method("make.coffee").code, RpcCode::method_not_found);
  EXPECT_EQ(unknown_rpc_method("\x1b[2J").message, "there is no method '\\x1b[2J'");
}

TEST(RpcParams, NumbersAreHeldWithinBounds) {
  const Json params{{"a", 5}, {"b", -1}, {"c", 18446744073709551615U}};
  EXPECT_EQ(rpc_number(params, "a", 1, 5).value(), 5);
  EXPECT_FALSE(rpc_number(params, "a", 6, 9));
  EXPECT_FALSE(rpc_number(params, "b", 0, 9));
  EXPECT_EQ(rpc_number(params, "c", 0, 9).error().text,
            "'c' is 18446744073709551615, and must be 0 to 9");
}

TEST(RpcHandlers, ThereIsOneForEveryRowOfTheTable) {
  for (const RpcMethod& method : rpc_methods()) {
    const std::string name = std::string(method.object) + "." + std::string(method.verb);
    EXPECT_NE(find_rpc_handler(name), nullptr) << name;
  }
}

TEST(VlanLists, AreWrittenAsRangesAndReadBack) {
  struct {
    const char* text;
    std::vector<VlanId> vlans;
  } const kCases[]{{"", {}}, {"10", {10}}, {"10,20-22,4094", {10, 20, 21, 22, 4094}}};
  for (const auto& c : kCases) {
    EXPECT_EQ(vlan_list_text(c.vlans), c.text);
    EXPECT_EQ(parse_vlan_list(c.text).value(), c.vlans);
  }
  EXPECT_EQ(parse_vlan_list("none").value(), std::vector<VlanId>());
  EXPECT_EQ(parse_vlan_list("2, 1,2").value(), (std::vector<VlanId>{1, 2}));
  for (const char* bad : {"0", "4095", "9-3", "a", "1,,x", "-1", "99999999999999999999"}) {
    EXPECT_FALSE(parse_vlan_list(bad)) << bad;
  }
}

}  // namespace
}  // namespace lanyard
