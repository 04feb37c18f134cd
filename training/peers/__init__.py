"""The other systems of the paper's table: language models that answer with boxes, and a segmenter that draws them.

    python -m training.peers --system training/configs/peers/qwen2.5-vl-72b.yaml --base-url http://127.0.0.1:8000/v1 \\
        --manifest MANIFEST --questions questions.jsonl --answers qwen.jsonl

    python -m training.peers --system training/configs/peers/qwen2.5-vl-72b.yaml --weights FOLDER --device cuda \\
        --manifest MANIFEST --questions questions.jsonl --answers qwen.jsonl

Whoever serves the model (vLLM, llama.cpp, LM Studio, ...) answers OpenAI's chat completions; or a folder of weights
that transformers reads by itself is asked on this machine. LISA, whose masks come from its states, is asked so alone.
Nothing is fetched here.
"""
