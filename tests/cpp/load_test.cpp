// Files that the Python half wrote, and such files damaged in every way.
#include "laminet/files/load.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string_view>
#include <system_error>

#include "laminet/files/json.h"
#include "laminet/files/tensor_file.h"
#include "laminet/gemm/backend.h"
#include "support.h"

namespace laminet {
namespace {

const std::string kFolder = LAMINET_TEST_NETWORKS;

std::vector<char> bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A file of that header, with so many bytes of data, all 0.
std::vector<char> file_of(const std::string& header, std::size_t data = 0) {
  std::vector<char> bytes(8 + header.size() + data);
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, sizeof length);
  std::copy(header.begin(), header.end(), bytes.begin() + 8);
  return bytes;
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '"' ? std::string("\\\"") : std::string(1, c);
  return result;
}

// A network of format 4 without arrays, which takes three features.
std::vector<char> tree_of(const std::string& layers, const std::string& more = "") {
  const std::string description =
      R"({"format": 4, "dtype": "float32", "in_features": 3, "layers": )" + layers + more + "}";
  return file_of(R"({"__metadata__": {"laminet": ")" + escaped(description) + "\"}}");
}

std::string message_of(const std::vector<char>& bytes) {
  try {
    network_of<float>(TensorFile(bytes));
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

template <class T>
void expect_the_bits(const std::string& name) {
  const auto net = load<T>(kFolder + "/" + name + ".safetensors");
  const TensorFile answers(kFolder + "/" + name + ".answers.safetensors");
  const std::vector<T> x = answers.read<T>(answers.tensors().at("x"));
  const std::vector<T> expected = answers.read<T>(answers.tensors().at("y"));
  const std::size_t batch = answers.tensors().at("x").shape[0];
  ASSERT_EQ(x.size(), batch * net->in_features());
  ASSERT_EQ(expected.size(), batch * net->out_features());
  std::vector<T> y(expected.size());
  net->forward(dense_view(x.data(), batch, net->in_features()),
               dense_view(y.data(), batch, net->out_features()));
  if (net->instruction_set().name != std::string("generic")) {
    EXPECT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(T)), 0) << name;
  }
  // Another order of sums, through layers of less than 12 terms each.
  for (std::size_t i = 0; i < y.size(); ++i) {
    EXPECT_NEAR(y[i], expected[i], 1e3 * std::numeric_limits<T>::epsilon()) << name;
  }
}

TEST(Load, GivesTheBitsOfThePythonHalf) {
  const std::string before(name(backend()));
  set_backend("tiled");
  for (const char* name : {"format_1", "format_2", "format_4", "format_5"}) {
    expect_the_bits<float>(name);
  }
  for (const char* name : {"format_3_double", "format_4_double"}) expect_the_bits<double>(name);
  set_backend(before);
}

TEST(Load, KeepsPrecisionAndHead) {
  EXPECT_EQ(load<float>(kFolder + "/format_5.safetensors")->precision(),
            Precision::bfloat16_weights);
  EXPECT_EQ(load<float>(kFolder + "/format_2.safetensors")->head(), Head::softmax);
}

TEST(Load, SaysWhatIsWrong) {
  EXPECT_THROW(load<float>(kFolder + "/absent.safetensors"), std::system_error);
  EXPECT_THROW(load<float>(kFolder), FormatError);
  EXPECT_THROW(load<double>(kFolder + "/format_1.safetensors"), FormatError);
  EXPECT_THROW(load<float>(kFolder + "/format_3_double.safetensors"), FormatError);
  EXPECT_THROW(load<float>(kFolder + "/format_1.answers.safetensors"), FormatError);
  const auto complains = [](const std::vector<char>& bytes, std::string_view of) {
    EXPECT_NE(message_of(bytes).find(of), std::string::npos) << message_of(bytes);
  };
  complains({1, 2, 3}, "begins with 8");
  complains(file_of("[]"), "JSON object");
  complains(file_of("{}"), "not a file that laminet saved");
  complains(file_of("{}", 4), "the file has 4");
  complains(file_of(R"({"a": {}, "a": {}})"), "twice");
  complains(file_of("{\"\xff\": 1}"), "UTF-8");
  complains(file_of(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})", 4),
            "do not agree");
  complains(file_of(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}})", 8),
            "do not agree");
  complains(file_of(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}})", 4),
            "truncated");
  complains(file_of(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})", 8),
            "begins at byte 4");
  complains(file_of(R"({"a": {"dtype": "F32", "shape": [0, 4611686018427387904],)"
                    R"( "data_offsets": [0, 0]}})"),
            "not a file that laminet saved");
  complains(file_of(R"({"__metadata__": {"laminet": "{\"format\": 6}"}})"), "later laminet");
  complains(file_of(R"({"__metadata__": {"laminet": "{\"format\": 1}"}})"), "has no layers");
  complains(file_of(R"({"__metadata__": {"laminet": "{\"format\": 4, \"dtype\": \"float32\",)"
                    R"( \"in_features\": 3, \"layers\": [{\"kind\": \"Activation\",)"
                    R"( \"name\": \"relu\"}]}"},)"
                    R"( "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})",
                    4),
            "'a' belongs to none");
  complains(tree_of("[]"), "one or more");
  complains(tree_of(R"([{"kind": "Conv"}])"), "unknown kind");
  complains(tree_of(R"([{"kind": "Activation", "name": "swish"}])"), "unknown activation");
  complains(tree_of(R"([{"kind": "Activation", "name": "elu"}])"), "has no alpha");
  complains(tree_of(R"([{"kind": "Activation", "name": "elu", "alpha": 1e999}])"), "finite");
  complains(tree_of(R"([{"kind": "Activation", "name": "elu", "alpha": [1, 2]}])"), "2");
  complains(tree_of(R"([{"kind": "Select", "columns": [3]}])"), "none of 3");
  complains(tree_of(R"([{"kind": "Select", "columns": [-4]}])"), "none of 3");
  complains(tree_of(R"([{"kind": "Dropout", "rate": 1}])"), "less than 1");
  complains(tree_of(R"([{"kind": "Dense", "weight": "tensor", "bias": null,)"
                    R"( "activation": {"name": "relu"}}])"),
            "is missing");
  complains(tree_of(R"([{"kind": "Rescale", "scale": 1e39, "shift": 0, "low": null,)"
                    R"( "high": null}])"),
            "too large");
  complains(tree_of(R"([{"kind": "Rescale", "scale": 1, "shift": 0, "low": 2, "high": 1}])"),
            "low must be");
  complains(tree_of(R"([{"kind": "Activation", "name": "relu"}])", R"(, "head": "none")"),
            "unknown head");
  complains(tree_of(R"([{"kind": "Activation", "name": "relu"}])", R"(, "precision": "float32")"),
            "no place");
}

TEST(Load, ReadsSlicesAsPythonDoes) {
  struct Case {
    const char *start, *stop, *step;
    std::vector<float> expected;
  };
  const Case cases[] = {
      {"null", "null", "null", {1, 2, 3}},
      {"null", "null", "-1", {3, 2, 1}},
      {"-2", "null", "1", {2, 3}},
      {"9", "-9", "-2", {3, 1}},
      {"1", "9223372036854775807", "9223372036854775807", {2}},
      {"1", "-9223372036854775807", "-9223372036854775807", {2}},
  };
  for (const Case& one : cases) {
    const std::string columns = std::string(R"({"start": )") + one.start + R"(, "stop": )" +
                                one.stop + R"(, "step": )" + one.step + "}";
    const auto net = network_of<float>(
        TensorFile(tree_of(R"([{"kind": "Select", "columns": )" + columns + "}]")));
    const std::vector<float> x = {1, 2, 3};
    std::vector<float> y(net->out_features());
    net->forward(dense_view(x.data(), 1, 3), dense_view(y.data(), 1, y.size()));
    EXPECT_EQ(y, one.expected) << columns;
  }
}

TEST(Load, KnowsHowManyFeaturesBranchesGive) {
  const std::string branches = R"({"kind": "Parallel", "branches": [[], []], "join": )";
  const auto last = [&](const std::string& join, const std::string& column) {
    return tree_of("[" + branches + join + R"(}, {"kind": "Select", "columns": [)" + column +
                   "]}]");
  };
  const std::vector<float> x = {1, 2, 3};
  const auto given = [&](const std::vector<char>& bytes) {
    float y = 0;
    network_of<float>(TensorFile(bytes))->forward(dense_view(x.data(), 1, 3), dense_view(&y, 1, 1));
    return y;
  };
  EXPECT_EQ(given(last(R"("concat")", "4")), 2.0f);
  EXPECT_EQ(given(last(R"("concat")", "-6")), 1.0f);
  EXPECT_EQ(given(last(R"("sum")", "-1")), 6.0f);
  EXPECT_NE(message_of(last(R"("sum")", "4")).find("none of 3"), std::string::npos);
}

TEST(Load, WidensNumbersOf16Bits) {
  std::vector<char> bytes =
      file_of(R"({"a": {"dtype": "F16", "shape": [6], "data_offsets": [0, 12]},)"
              R"( "b": {"dtype": "BF16", "shape": [2], "data_offsets": [12, 16]}})",
              16);
  const std::uint16_t stored[] = {0x3C00, 0xC000, 0x0001, 0x7BFF, 0xFC00, 0x83FF, 0x3F80, 0xC040};
  std::memcpy(bytes.data() + bytes.size() - 16, stored, 16);
  const TensorFile file(bytes);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(file.read<float>(file.tensors().at("a")),
            (std::vector<float>{1.0f, -2.0f, 0x1p-24f, 65504.0f, -infinity, -0x3FFp-24f}));
  EXPECT_EQ(file.read<float>(file.tensors().at("b")), (std::vector<float>{1.0f, -3.0f}));
}

TEST(Load, ReadsJson) {
  const JsonValue value = parse_json(
      " {\"a\" : [1, -2.5e1, 1e999, -1e-999, 9223372036854775808, true, false, null],"
      " \"\\u00e4\\ud83d\\ude00\\n\": \"\"} ",
      "here");
  const JsonValue::Array& array = *value.find("a")->array();
  EXPECT_EQ(*array[0].integer(), 1);
  EXPECT_EQ(std::get<double>(array[1].value), -25.0);
  EXPECT_EQ(std::get<double>(array[2].value), std::numeric_limits<double>::infinity());
  EXPECT_EQ(std::get<double>(array[3].value), 0.0);
  EXPECT_TRUE(std::signbit(std::get<double>(array[3].value)));
  EXPECT_EQ(std::get<double>(array[4].value), 0x1p63);
  EXPECT_EQ(std::get<bool>(array[5].value), true);
  EXPECT_TRUE(array[7].null());
  EXPECT_TRUE(value.find("\xc3\xa4\xf0\x9f\x98\x80\n"));
  for (const char* wrong :
       {"", "{", "[1,]", "{\"a\" 1}", "01", "1.", ".5", "+1", "1e", "nul", "NaN", "\"\n\"",
        "\"\\x\"", "\"\\u12\"", "'a'", "1 2", "{\"a\":1,\"a\":2}", "{1:2}"}) {
    EXPECT_THROW(parse_json(wrong, "here"), FormatError) << wrong;
  }
  EXPECT_THROW(parse_json(std::string(100000, '['), "here"), FormatError);
  EXPECT_TRUE(is_utf8("a\xc3\xa4\xf0\x9f\x98\x80"));
  for (const char* wrong :
       {"\xc3", "\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"}) {
    EXPECT_FALSE(is_utf8(wrong));
  }
}

// Of a damaged file there is an answer, or a FormatError: no other exception, no read outside, no
// memory that the file does not pay for.
template <class T>
void survive(std::vector<char> bytes) {
  try {
    const auto net = network_of<T>(TensorFile(std::move(bytes)));
    if (net->in_features() > 1000 || net->out_features() > 1000) return;
    const std::vector<T> x(net->in_features());
    std::vector<T> y(net->out_features());
    net->forward(dense_view(x.data(), 1, x.size()), dense_view(y.data(), 1, y.size()));
  } catch (const FormatError&) {
  }
}

template <class T>
void damage(const std::string& name, int times) {
  const std::vector<char> whole = bytes_of(kFolder + "/" + name + ".safetensors");
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), sizeof header);
  std::mt19937 random(7);
  const auto below = [&](std::size_t end) { return static_cast<std::size_t>(random()) % end; };
  constexpr std::string_view kWords[] = {"0",
                                         "-1",
                                         "9223372036854775807",
                                         "1e400",
                                         "null",
                                         "[]",
                                         "{}",
                                         "\\\"tensor\\\"",
                                         "\"",
                                         "true",
                                         "[0]",
                                         "2",
                                         "65536",
                                         "F64",
                                         ",",
                                         "layers",
                                         "weight",
                                         "Dense",
                                         "\\"};
  for (int i = 0; i < times; ++i) {
    std::vector<char> bytes = whole;
    for (std::size_t changes = 1 + below(3); changes > 0; --changes) {
      const std::size_t at = 8 + below(std::min<std::size_t>(header, bytes.size() - 8));
      switch (below(5)) {
        case 0:
          bytes[at] = static_cast<char>(below(256));
          break;
        case 1:
          bytes[at] = "0123456789[]{},:\"- "[below(20)];
          break;
        case 2:
          bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at));
          break;
        case 3: {
          // Instead of as many bytes, so that what follows stays where it is.
          const std::string_view word = kWords[below(std::size(kWords))];
          std::copy_n(word.begin(), std::min(word.size(), bytes.size() - at),
                      bytes.begin() + static_cast<std::ptrdiff_t>(at));
          break;
        }
        default:
          bytes[below(8 + 2)] ^= static_cast<char>(1 << below(8));
          break;
      }
    }
    if (below(4) > 0) {  // else the length says so
      std::uint64_t length = header + bytes.size() - whole.size();
      std::memcpy(bytes.data(), &length, sizeof length);
    }
    survive<T>(std::move(bytes));
  }
  for (std::size_t size = 0; size < whole.size(); size += 1 + size / 16) {
    survive<T>({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
  }
}

TEST(Load, SurvivesDamagedFiles) {
  for (const char* name : {"format_1", "format_4", "format_5"}) damage<float>(name, 3000);
  damage<double>("format_3_double", 3000);
}

}  // namespace
}  // namespace laminet
