"""Makes the bundled model: corpus, tokenizer, network, training, export, evaluation."""
