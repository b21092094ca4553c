// SPDX-License-Identifier: MIT
//
// What the commands without a daemon read: options, ends of cables, console replies, keys.
#include "switch/cli/tool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "switch/cli/console_session.h"
#include "switch/cli/line_editor.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;

// ---- options ----

constexpr std::array kOptions{ToolOption{'p', "port", true}, ToolOption{'q', "quiet", false}};

TEST(ToolArguments, OptionsHaveThreeForms) {
  for (const ToolWords& words : std::vector<ToolWords>{{"-p", "5", "a"},
                                                       {"a", "--port", "5"},
                                                       {"--port=5", "a"},
                                                       {"-p", "4", "-p", "5", "a"}}) {
    const ToolArguments read = read_tool_arguments(kOptions, words);
    EXPECT_EQ(read.complaint, "");
    ASSERT_NE(read.find("port"), nullptr);
    EXPECT_EQ(*read.find("port"), "5");
    EXPECT_THAT(read.words, ElementsAre("a"));
  }
}

TEST(ToolArguments, AreOverAtTwoDashesAndAtAnEqualsSign) {
  EXPECT_THAT(read_tool_arguments(kOptions, {"a", "=", "ssh", "-p", "22"}).words,
              ElementsAre("a", "=", "ssh", "-p", "22"));
  EXPECT_THAT(read_tool_arguments(kOptions, {"-q", "--", "-p"}).words, ElementsAre("-p"));
  EXPECT_THAT(read_tool_arguments(kOptions, {"-"}).words, ElementsAre("-"));
}

TEST(ToolArguments, ComplainAboutWhatTheyDoNotKnow) {
  EXPECT_EQ(read_tool_arguments(kOptions, {"-x"}).complaint, "there is no option -x");
  EXPECT_EQ(read_tool_arguments(kOptions, {"--prot", "1"}).complaint, "there is no option --prot");
  EXPECT_EQ(read_tool_arguments(kOptions, {"-p"}).complaint, "-p needs a value");
  EXPECT_EQ(read_tool_arguments(kOptions, {"-port"}).complaint, "there is no option -port");
}

TEST(EndAddress, IsOfABackendOrACableToIt) {
  EXPECT_EQ(end_address("/run/lab"), "plug:///run/lab");
  EXPECT_EQ(end_address("/run/lab[5]"), "plug:///run/lab[5]");
  EXPECT_EQ(end_address("vde:///run/lab"), "plug://vde:///run/lab");
  EXPECT_EQ(end_address("tap://tap0"), "tap://tap0");
  EXPECT_EQ(end_address("vxlan://239.0.0.1"), "plug://vxlan://239.0.0.1");
}

// ---- replies ----

std::vector<ConsoleReply> replies(std::string_view bytes, std::size_t piece) {
  ConsoleReader reader;
  std::vector<ConsoleReply> found;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.add(bytes.substr(at, piece));
    if (auto reply = reader.next()) found.push_back(std::move(*reply));
  }
  return found;
}

TEST(ConsoleReader, FindsTheEndOfAReplyInAnyPieces) {
  constexpr std::string_view kBytes = "0000 DATA END WITH '.'\nPort 0001\n.\n1000 Success\n\nvde$ ";
  for (std::size_t piece = 1; piece <= kBytes.size(); ++piece) {
    const auto found = replies(kBytes, piece);
    ASSERT_EQ(found.size(), 1U) << piece;
    EXPECT_EQ(found[0].data, "Port 0001\n");
    EXPECT_EQ(found[0].code, 1000);
    EXPECT_TRUE(found[0].ok());
  }
}

TEST(ConsoleReader, TellsErrorsAndLinesNobodyAskedFor) {
  const auto found = replies("3021 port/+ 04\n1022 Invalid argument\n\nvde$ ", 100);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].events, "3021 port/+ 04\n");
  EXPECT_EQ(found[0].status, "1022 Invalid argument");
  EXPECT_FALSE(found[0].ok());
}

TEST(ConsoleReader, KnowsThePromptWhenLinesFollowIt) {
  ConsoleReader reader;
  reader.add("VDE switch\n\nvde$ ");
  ASSERT_TRUE(reader.next().has_value());
  reader.add("1000 Success\n\nvde$ 3022 port/- 01\n");
  const auto reply = reader.next();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, "1000 Success");
  EXPECT_EQ(reader.take_lines(), "3022 port/- 01\n");
}

TEST(ConsoleReader, GivesLinesBetweenReplies) {
  ConsoleReader reader;
  reader.add("3021 port/+ 04\n3031 po");
  EXPECT_EQ(reader.take_lines(), "3021 port/+ 04\n");
  reader.add("rt/ep/+\n");
  EXPECT_EQ(reader.take_lines(), "3031 port/ep/+\n");
}

constexpr std::string_view kHelp =
    "COMMAND PATH       SYNTAX          HELP\n"
    "------------       --------------  ------------\n"
    "port               ============    PORT STATUS MENU\n"
    "port/print         [N]             print the port/endpoint table\n"
    "port/allprint      [N]             print\n"
    "vlan/print\n"
    "showinfo                           show switch version and info\n";

TEST(Completion, KnowsTheCommandsOfTheSwitch) {
  const auto commands = commands_in_help(kHelp);
  EXPECT_THAT(commands, ElementsAre("port/print", "port/allprint", "vlan/print", "showinfo"));
  EXPECT_THAT(complete_command(commands, ""), ElementsAre("port/", "showinfo", "vlan/"));
  EXPECT_THAT(complete_command(commands, "po"), ElementsAre("port/allprint", "port/print"));
  EXPECT_THAT(complete_command(commands, "port/p"), ElementsAre("port/print"));
  EXPECT_THAT(complete_command(commands, "x"), ElementsAre());
}

// ---- keys ----

class LineEditorTest : public ::testing::Test {
 protected:
  // Types it and returns the line.
  std::string type(std::string_view keys) {
    std::string screen;
    for (const char key : keys) {
      outcome_ = editor_.key(static_cast<unsigned char>(key), screen);
      if (outcome_ == LineEditor::Outcome::line) {
        const std::string line = editor_.take();
        editor_.remember(line);
        screen_ = screen;
        return line;
      }
    }
    screen_ = screen;
    return "(not ended)";
  }

  LineEditor editor_{"vde$ ", [](std::string_view so_far) {
                       return complete_command(commands_in_help(kHelp), so_far);
                     }};
  LineEditor::Outcome outcome_ = LineEditor::Outcome::writing;
  std::string screen_;
};

TEST_F(LineEditorTest, EditsALine) {
  struct Row {
    std::string_view keys;
    std::string_view line;
  };
  for (const Row& row : {
           Row{"abc\r", "abc"},
           Row{"abd\x7f"
               "c\r",
               "abc"},
           Row{"bc\x01"
               "a\r",
               "abc"},
           Row{"ac\x1b[Db\r", "abc"},
           Row{"bc\x1b[Ha\x1b[F!\r", "abc!"},
           Row{"abXc\x1b[D\x1b[D\x1b[3~\r", "abc"},
           Row{"abc\x15xy\r", "xy"},
           Row{"one two\x17three\r", "one three"},
           Row{"ab\x1b[99~c\r", "abc"},
           Row{"abc\x02\x02\x0b\r", "a"},
       }) {
    EXPECT_EQ(type(row.keys), row.line);
  }
}

TEST_F(LineEditorTest, RemembersLines) {
  type("first\r");
  type("second\r");
  EXPECT_EQ(type("\x1b[A\r"), "second");
  EXPECT_EQ(type("\x1b[A\x1b[A\r"), "first");
  EXPECT_EQ(type("third\x1b[A\x1b[B\r"), "third");
  EXPECT_EQ(type("\x10\x10\x10\x10\x10\r"), "first");
}

TEST_F(LineEditorTest, CompletesCommands) {
  EXPECT_EQ(type("sh\t\r"), "showinfo ");
  EXPECT_EQ(type("port/p\t3\r"), "port/print 3");
  EXPECT_EQ(type("po\t\r"), "port/");
  EXPECT_NE(type("port/\t\r").find("port/"), std::string::npos);
  EXPECT_NE(screen_.find("port/allprint  port/print"), std::string::npos);
}

TEST_F(LineEditorTest, EndsAndIsInterrupted) {
  type("abc\x03");
  EXPECT_EQ(outcome_, LineEditor::Outcome::interrupted);
  editor_.take();
  type("\x04");
  EXPECT_EQ(outcome_, LineEditor::Outcome::ended);
}

TEST_F(LineEditorTest, ShowsThePartAroundTheCursor) {
  editor_.set_columns(20);
  type("0123456789abcdefghij");
  std::string screen;
  editor_.show(screen);
  EXPECT_EQ(screen, "\r\x1b[Kvde$ 789abcdefghij");
}

}  // namespace
}  // namespace lanyard
