"""reroll on Slack: reports come from messages, answers go back to their thread; jobs and findings are as for pages."""
