// SPDX-License-Identifier: MIT
#include "switch/cli/render.h"

#include <gmock/gmock.h>

#include "switch/cli/completion.h"
#include "switch/cli/plug_lines.h"

namespace lanyard {
namespace {

std::string text_of(std::string_view method, std::string_view result) {
  return result_text(*find_rpc_method(method), Json::parse(result));
}

TEST(Render, AlignsColumnsAndNumbers) {
  EXPECT_EQ(text_of("fdb.list", R"({"entries":[
      {"network":"lab","mac":"52:54:00:00:00:01","vlan":1,"port":10,"age_s":75,"name":"vm1"},
      {"network":"l","mac":"52:54:00:00:00:02","vlan":10,"port":2,"age_s":5,"name":""}]})"),
            "NETWORK  ADDRESS            VLAN  PORT    AGE  NAME\n"
            "lab      52:54:00:00:00:01     1    10  1m15s  vm1\n"
            "l        52:54:00:00:00:02    10     2     5s  -\n");
}

TEST(Render, PrintsNoControlCharactersOfGuests) {
  const std::string text =
      text_of("lease.list", R"({"leases":[{"name":"a\u001b[31m\nb","address":"10.0.2.15"}]})");
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_THAT(text, testing::HasSubstr("a\\x1b[31m\\x0ab"));
}

TEST(Render, SaysWhenNothingChanges) {
  EXPECT_EQ(text_of("config.diff", R"({"changes":[]})"), "nothing changes\n");
  EXPECT_EQ(text_of("config.diff", R"({"changes":[{"change":"a"},{"change":"b"}]})"), "a\nb\n");
}

TEST(Render, PrintsASingleValueAlone) {
  EXPECT_EQ(text_of("lease.address", R"({"address":"10.0.2.15"})"), "10.0.2.15\n");
  EXPECT_EQ(text_of("lease.address", R"({"address":"10.0.2.15","mac":"x"})"), "10.0.2.15\n");
  EXPECT_EQ(text_of("config.dump", "{\"toml\":\"[a]\\nb = 1\\n\"}"), "[a]\nb = 1\n");
  EXPECT_EQ(text_of("link.set", "{}"), "");
}

TEST(Render, SaysOfEachProcessWhatConfinesIt) {
  EXPECT_THAT(text_of("daemon.status",
                      R"({"networks":[],"processes":[{"process":"gateway lab","pid":7,)"
                      R"("sandbox":"system calls filtered"},{"process":"switch","pid":8}]})"),
              testing::EndsWith("process: gateway lab (pid 7): system calls filtered\n"
                                "process: switch (pid 8): -\n"));
}

TEST(Render, PutsWarningsBelowTheTable) {
  EXPECT_THAT(text_of("daemon.status",
                      R"({"networks":[],"warnings":[{"network":"lab","text":"no ping"},"old"]})"),
              testing::EndsWith("warning: network lab: no ping\nwarning: old\n"));
}

TEST(Render, ShowsWhatIsNested) {
  EXPECT_EQ(
      text_of("network.show",
              R"({"name":"lab","gateway":{"pid":7},"sockets":[{"path":"/a"},{"path":"/b"}]})"),
      "gateway:\n  pid: 7\nname:    lab\nsockets:\n  path=/a\n  path=/b\n");
}

TEST(Render, KnowsSecondsFromPerSecond) {
  EXPECT_EQ(text_of("network.show", R"({"age_s":200,"new_flows_per_s":200})"),
            "age_s:           3m20s\nnew_flows_per_s: 200\n");
}

TEST(Render, SurvivesAnyShape) {
  for (const char* json : {"null", "7", "[]", "[1]", R"({"ports":7})", R"({"ports":[7]})",
                           R"({"ports":[{"port":{}}]})", R"({"warnings":7})"}) {
    for (const RpcMethod& method : rpc_methods()) result_text(method, Json::parse(json));
    event_text(Json::parse(json));
  }
}

TEST(Render, PrintsEventsOnOneLine) {
  EXPECT_EQ(
      event_text({{"time", 1700000000}, {"kind", "port.up"}, {"network", "lab"}, {"port", 3}}),
      "2023-11-14T22:13:20Z port.up network=lab port=3\n");
}

TEST(PlugLines, AreStableAndDistinct) {
  const PlugPlace lab{"lab", "/run/lanyard/lab", ""};
  EXPECT_EQ(vm_mac("vm1", "lab"), vm_mac("vm1", "lab"));
  EXPECT_NE(vm_mac("vm1", "lab"), vm_mac("vm2", "lab"));
  EXPECT_NE(vm_mac("vm1", "lab"), vm_mac("vm1", "nat"));
  EXPECT_EQ(qemu_line(lab, 1, "vm1"),
            "-netdev vde,id=n1,sock=/run/lanyard/lab -device virtio-net-pci,netdev=n1,mac=" +
                vm_mac("vm1", "lab").text());
  EXPECT_THAT(qemu_line({"a", "/tmp/a,b c", ""}, 0, "vm1"),
              testing::HasSubstr("'vde,id=n0,sock=/tmp/a,,b c'"));
  EXPECT_THAT(libvirt_lines({{"a", "/tmp/<'&", ""}}, "vm1"),
              testing::HasSubstr("/tmp/&lt;&apos;&amp;"));
  EXPECT_THAT(virtualbox_lines({{"a", "/run/a", "ly-a"}}, "my vm"),
              testing::AllOf(testing::HasSubstr("modifyvm 'my vm' --nic1 generic"),
                             testing::HasSubstr("--nic-property1 network=/run/a"),
                             testing::HasSubstr("--bridge-adapter1 ly-a")));
}

std::vector<std::string> completed(const std::vector<std::string>& words) {
  return complete(words, [](std::string_view method, const Json& params) -> std::optional<Json> {
    if (method == "network.list")
      return Json::parse(R"({"networks":[{"name":"lab"},{"name":"nat"}]})");
    if (method == "port.list" && params.value("network", "") == "lab") {
      return Json::parse(R"({"ports":[{"port":1},{"port":12}]})");
    }
    if (method == "forward.list")
      return Json::parse(R"({"forwards":[{"name":"ssh"},{"name":"a b"}]})");
    if (method == "plugin.list") {
      return Json::parse(R"({"plugins":[{"name":"acl","commands":["acl/add","acl/list"]}]})");
    }
    return std::nullopt;
  });
}

TEST(Completion, KnowsWordsAndAsksForNames) {
  using testing::Contains;
  using testing::ElementsAre;
  EXPECT_THAT(completed({"fo"}), ElementsAre("forward"));
  EXPECT_THAT(completed({"port", ""}), ElementsAre("list", "set", "show"));
  EXPECT_THAT(completed({"network", "show", ""}), ElementsAre("lab", "nat"));
  EXPECT_THAT(completed({"port", "show", "lab", "1"}), ElementsAre("1", "12"));
  EXPECT_THAT(completed({"link", "set", "lab", "1", ""}), ElementsAre("down", "up"));
  EXPECT_THAT(completed({"port", "set", "lab", "1", "t"}), ElementsAre("tagged="));
  EXPECT_THAT(completed({"forward", "delete", "nat", ""}), ElementsAre("ssh"));
  EXPECT_THAT(completed({"plugin", "delete", "nat", ""}), ElementsAre("acl"));
  EXPECT_THAT(completed({"plugin", "run", "nat", ""}), ElementsAre("acl/add", "acl/list"));
  EXPECT_THAT(completed({"watch", "lease.g"}), ElementsAre("lease.granted"));
  EXPECT_THAT(completed({"qemu", "n"}), ElementsAre("nat"));
  EXPECT_THAT(completed({"check", ""}), ElementsAre(std::string(kCompleteFiles)));
  EXPECT_THAT(completed({"--j"}), ElementsAre("--json"));
  EXPECT_THAT(completed({"--json", "st"}), ElementsAre("status"));
  EXPECT_THAT(completed({"lease", "list", "network="}), Contains("network=lab"));
  EXPECT_THAT(completed({"xyzzy", ""}), ElementsAre());
  EXPECT_THAT(completed({"flow", "list", "x"}), ElementsAre());
}

}  // namespace
}  // namespace lanyard
