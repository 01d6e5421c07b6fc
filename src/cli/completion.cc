#include <CLI/CLI.hpp>

#include "cli/output.h"

namespace walrus::cli {
namespace {

struct Flag {
  std::string name;  // with its dashes
  std::string description;
  bool takes_value = false;
  std::vector<std::string> choices;  // all values that it may have; none: any
};

// A verb with all that may follow it. The scripts are made from the parser, so that they cannot
// miss a flag.
struct Place {
  std::string path;  // "topic create"; "" for walrus itself
  std::string description;
  std::vector<std::string> verbs, words;  // words: a positional that is one of a few
  std::vector<Flag> flags;
  bool takes_topic = false, takes_group = false, takes_files = false;

  std::string flag_names() const {
    std::vector<std::string> names;
    for (const auto& flag : flags) names.push_back(flag.name);
    return fmt::format("{}", fmt::join(names, " "));
  }
};

// The parser shows them in the type's name: "TEXT:{none,gzip}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  auto type = option.get_type_name();
  auto begin = type.find('{'), end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return {};
  return CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
}

void collect(const CLI::App& app, const std::string& path, std::vector<Place>& places) {
  Place place{.path = path, .description = app.get_description()};
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_lnames())
      place.flags.push_back({.name = "--" + name,
                             .description = option->get_description(),
                             .takes_value = option->get_type_size() != 0,
                             .choices = choices_of(*option)});
    if (!option->get_positional()) continue;
    auto choices = choices_of(*option);
    place.words.insert(place.words.end(), choices.begin(), choices.end());
    if (option->get_name(true) == "topic") place.takes_topic = true;
    else if (option->get_name(true) == "group") place.takes_group = true;
    else if (choices.empty()) place.takes_files = true;
  }
  auto verbs = app.get_subcommands([](const CLI::App*) { return true; });
  for (const auto* verb : verbs) place.verbs.push_back(verb->get_name());
  places.push_back(std::move(place));
  for (const auto* verb : verbs)
    collect(*verb, path.empty() ? verb->get_name() : path + " " + verb->get_name(), places);
}

constexpr Bytes kTopics = "$(walrus --quiet topic list 2>/dev/null)";
constexpr Bytes kGroups = "$(walrus --quiet group list 2>/dev/null)";

// What the scripts of bash and zsh are made of: patterns and cases of `case`.
struct Cases {
  std::string known;   // every verb
  std::string values;  // place and flag before the word -> the flag's values
  std::string words;   // place -> words, flags
};

Cases cases_of(const std::vector<Place>& places, Bytes words_open, Bytes words_close) {
  Cases cases;
  const auto& everywhere = places.front();
  for (const auto& place : places) {
    if (!place.path.empty())
      cases.known += fmt::format("{}'{}'", cases.known.empty() ? "" : "|", place.path);
    for (const auto& flag : place.flags)
      if (!flag.choices.empty())
        cases.values += fmt::format("    '{} {}') choices=\"{}\" ;;\n", place.path, flag.name,
                                    fmt::join(flag.choices, " "));
    cases.words += fmt::format("    '{}')\n      words_here={}{} {}", place.path, words_open,
                               fmt::join(place.verbs, " "), fmt::join(place.words, " "));
    if (place.takes_topic) cases.words += fmt::format(" {}", kTopics);
    if (place.takes_group) cases.words += fmt::format(" {}", kGroups);
    cases.words += words_close;
    cases.words += fmt::format("\n      flags_here=\"{} {}\"\n", place.flag_names(),
                               place.path.empty() ? "" : everywhere.flag_names());
    if (place.takes_files) cases.words += "      files=1\n";
    cases.words += "      ;;\n";
  }
  return cases;
}

std::string bash_script(const std::vector<Place>& places) {
  auto cases = cases_of(places, "\"", "\"");
  return fmt::format(R"(# bash completion for walrus: source <(walrus completion bash)
_walrus() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD - 1]}}"
  local place="" next="" choices="" words_here="" flags_here="" files="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="${{place:+$place }}${{COMP_WORDS[i]}}"
    case "$next" in
      {}) place="$next" ;;
    esac
  done
  case "$place $before" in
{}  esac
  if [ -n "$choices" ]; then
    COMPREPLY=($(compgen -W "$choices" -- "$current"))
    return
  fi
  case "$place" in
{}  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$flags_here" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words_here" -- "$current"))
      [ -z "$files" ] || COMPREPLY+=($(compgen -f -- "$current")) ;;
  esac
}}
complete -o default -F _walrus walrus
)",
                     cases.known, cases.values, cases.words);
}

std::string zsh_script(const std::vector<Place>& places) {
  auto cases = cases_of(places, "(", ")");
  return fmt::format(R"(#compdef walrus
# zsh completion for walrus: source <(walrus completion zsh)
_walrus() {{
  local place="" next="" choices="" flags_here="" files="" i
  local -a words_here
  for ((i = 2; i < CURRENT; i++)); do
    next="${{place:+$place }}${{words[i]}}"
    case "$next" in
      {}) place="$next" ;;
    esac
  done
  case "$place ${{words[CURRENT - 1]}}" in
{}  esac
  if [[ -n "$choices" ]]; then
    compadd -- ${{=choices}}
    return
  fi
  case "$place" in
{}  esac
  if [[ "${{words[CURRENT]}}" == -* ]]; then
    compadd -- ${{=flags_here}}
  else
    compadd -- $words_here
    if [[ -n "$files" || ${{#words_here}} == 0 ]]; then _files; fi
  fi
}}
if [ "$funcstack[1]" = "_walrus" ]; then _walrus "$@"; else compdef _walrus walrus; fi
)",
                     cases.known, cases.values, cases.words);
}

std::string quoted(const std::string& text) {  // for fish: single quotes, \ and ' escaped
  std::string result = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

// When fish is to offer what belongs to this place.
std::string fish_condition(const Place& place) {
  if (place.path.empty()) return "__fish_use_subcommand";
  auto space = place.path.find(' ');
  auto below = [](const std::string& verb) { return "__fish_seen_subcommand_from " + verb; };
  auto first = below(place.path.substr(0, space));
  if (space != std::string::npos) return first + "; and " + below(place.path.substr(space + 1));
  if (place.verbs.empty()) return first;
  return first + "; and not " + below(fmt::format("{}", fmt::join(place.verbs, " ")));
}

std::string fish_flag(const std::string& condition, const Flag& flag) {
  auto line = "complete -c walrus" + condition + " -l " + flag.name.substr(2) + " -d " +
              quoted(flag.description);
  if (!flag.choices.empty())
    line += " -x -a " + quoted(fmt::format("{}", fmt::join(flag.choices, " ")));
  else if (flag.takes_value) line += " -r";
  return line + "\n";
}

std::string fish_script(const std::vector<Place>& places) {
  std::string script = "# fish completion for walrus: walrus completion fish | source\n";
  for (const auto& flag : places.front().flags) script += fish_flag("", flag);
  for (const auto& place : places) {
    auto here = " -n " + quoted(fish_condition(place));
    for (const auto& verb : place.verbs) {
      auto full = place.path.empty() ? verb : place.path + " " + verb;
      for (const auto& other : places)
        if (other.path == full)
          script += fmt::format("complete -c walrus -f{} -a {} -d {}\n", here, verb,
                                quoted(other.description));
    }
    for (const auto& word : place.words)
      script += fmt::format("complete -c walrus -f{} -a {}\n", here, word);
    if (place.path.empty()) continue;
    for (const auto& flag : place.flags)
      if (flag.name != "--help") script += fish_flag(here, flag);
    for (auto [takes, noun] :
         {std::pair(place.takes_topic, "topic"), std::pair(place.takes_group, "group")})
      if (takes)
        script += fmt::format("complete -c walrus{}{} -a '(walrus --quiet {} list 2>/dev/null)'\n",
                              place.takes_files ? "" : " -f", here, noun);
  }
  return script;
}

}  // namespace

void add_completion(CommandLine& line) {
  auto shell = std::make_shared<std::string>();
  auto verb =
      line.add(line.root(), "completion", "A completion script: source <(walrus completion bash)",
               [&line, shell](const Globals&) -> Result<int> {
                 std::vector<Place> places;
                 collect(line.root().parser(), "", places);
                 WALRUS_TRY(print(*shell == "bash"  ? bash_script(places)
                                  : *shell == "zsh" ? zsh_script(places)
                                                    : fish_script(places)));
                 return kExitDone;
               });
  verb.option("shell", *shell, "bash, zsh or fish").required().one_of({"bash", "zsh", "fish"});
}

}  // namespace walrus::cli
